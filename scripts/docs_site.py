"""What mkdocs is told about these pages beyond mkdocs.yml: it makes a site of what a forge shows as it is.

The pages are plain Markdown, and their links lead to files of the repository. Here

- a file outside docs/ that a page links to becomes a page too (a script with its code, a folder with its list), and
  the links to it are turned there;
- headings get the anchors that a forge gives them;
- `<!-- ::: path -->` on a reference page becomes the signature and the docstring of that object, which then stands
  once in the list of contents; other comments go.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!\w+:|#)(?P<file>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_PICTURE = re.compile(r'\b(?P<key>src|srcset)="(?P<file>[^":]+)"')
_OBJECT = re.compile(r"^[^\n]+\n\n<!-- (:::.*?) -->$", re.MULTILINE | re.DOTALL)  # its docstring stands there in short
_COMMENT = re.compile(r"^ *<!--.*?-->\n", re.MULTILINE | re.DOTALL)
_LISTED = {".py", ".json"}  # of a folder


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Anchors as a forge makes them."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slug
    return config


def slug(title: str, separator: str) -> str:
    """A heading as it stands in an address: lower case, only letters, digits, `-` and `_`, spaces as `-`."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", separator)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Pages and files for what is linked outside docs/, and for what those pages link to."""
    waiting = [(f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()]
    while waiting:
        place, text = waiting.pop()
        for target in linked(place, text):
            if in_docs(target) or not (ROOT / target).exists() or files.get_file_from_path(uri_of(target)) is not None:
                continue
            content = content_of(target)
            files.append(File.generated(config, uri_of(target), content=content))
            if target.endswith(".md") or (ROOT / target).is_dir():
                waiting.append((target, content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with its links turned to where their files went, and its comments gone or carried out."""
    place = place_of(page.file.src_uri)
    here = posixpath.dirname(page.file.src_uri)

    def way(target: str) -> str:
        return posixpath.relpath(page_in_docs(target) if in_docs(target) else uri_of(target), here or ".")

    def turned(link: re.Match[str]) -> str:
        target = resolved(place, link["file"])
        if not (ROOT / target).exists():
            return link[0]  # mkdocs says that it leads nowhere
        return f"]({way(target)}{link['anchor'] or ''})"

    def shown(picture: re.Match[str]) -> str:
        return f'{picture["key"]}="{way(resolved(place, picture["file"]))}"'

    def prose(text: str) -> str:
        return _PICTURE.sub(shown, _LINK.sub(turned, _COMMENT.sub("", _OBJECT.sub(r"\1", text))))

    return "".join(text if fenced else prose(text) for text, fenced in pieces(markdown))


def pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The text in its order, each piece with whether it is a block of code."""
    end = 0
    for fence in _FENCE.finditer(text):
        yield text[end : fence.start()], False
        yield fence[0], True
        end = fence.end()
    yield text[end:], False


def linked(place: str, text: str) -> Iterator[str]:
    """The files of the repository that the page at `place` links to."""
    for piece, fenced in pieces(text):
        if not fenced:
            yield from (resolved(place, link["file"]) for link in _LINK.finditer(piece))


def resolved(place: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), link))


def in_docs(target: str) -> bool:
    return target.startswith("docs/")


def page_in_docs(target: str) -> str:
    """A file of docs/ as mkdocs names it; a folder is its README."""
    return posixpath.relpath(f"{target}/README.md" if (ROOT / target).is_dir() else target, "docs")


def uri_of(target: str) -> str:
    """Where a file outside docs/ lies on the site; scripts and folders are pages there."""
    page = target.endswith(".py") or (ROOT / target).is_dir()
    return f"repository/{target}{'.md' if page else ''}".replace("README", "readme")  # README is a folder's index


def place_of(uri: str) -> str:
    """The file of the repository that a page of the site shows."""
    if not uri.startswith("repository/"):
        return f"docs/{uri}"
    name = uri.removeprefix("repository/").replace("readme", "README")
    return name if (ROOT / name).is_file() else name.removesuffix(".md")


def content_of(target: str) -> str:
    """A script as a block, a folder as a list of what can be read of it, all else as it is."""
    path = ROOT / target
    if path.is_dir():
        names = sorted(each.name for each in path.iterdir() if each.suffix in _LISTED)
        return f"# {target}\n\n" + "\n".join(f"- [{name}]({path.name}/{name})" for name in names)
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    return f"---\nsearch:\n  exclude: true\n---\n\n# {target}\n\n~~~python\n{text}~~~\n"


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """An object of the reference stands once in the list of contents, under the heading of the page."""
    for top in page.toc:
        for heading in top.children:
            if len(heading.children) == 1 and heading.children[0].id.startswith("identikit."):
                heading.children = heading.children[0].children
    return html
