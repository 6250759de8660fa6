"""Blocks that cannot go wrong silently: identity, pass, residual, gates, and the networks built from them.

Plain modules that need nothing but torch. `from identikit.nn import Residual` is all there is to it.
"""

from identikit.nn.cifar_resnet import CifarResNet
from identikit.nn.densenet import DenseNet
from identikit.nn.early_exit import EarlyExit, Exited
from identikit.nn.gates import LayerScale, ReZero, SkipInit
from identikit.nn.identity import Argument, Identity, stream
from identikit.nn.input_skip import InputSkip
from identikit.nn.layer_drop import LayerDrop
from identikit.nn.pass_layer import Pass, pass_layer
from identikit.nn.placeholder import Placeholder, maybe
from identikit.nn.preact_resnet import PreActResNet
from identikit.nn.residual import Residual
from identikit.nn.residual_block import residual_block
from identikit.nn.resnet import ResNet
from identikit.nn.robust_scale import RobustScale
from identikit.nn.shortcuts import PadShortcut, projection
from identikit.nn.stochastic_depth import StochasticDepth, linear_schedule
from identikit.nn.switch import Switch
from identikit.nn.tabular_resnet import TabularResNet
from identikit.nn.tap import Tap

__all__ = [
    "Argument",
    "CifarResNet",
    "DenseNet",
    "EarlyExit",
    "Exited",
    "Identity",
    "InputSkip",
    "LayerDrop",
    "LayerScale",
    "PadShortcut",
    "Pass",
    "Placeholder",
    "PreActResNet",
    "ReZero",
    "ResNet",
    "Residual",
    "RobustScale",
    "SkipInit",
    "StochasticDepth",
    "Switch",
    "TabularResNet",
    "Tap",
    "linear_schedule",
    "maybe",
    "pass_layer",
    "projection",
    "residual_block",
    "stream",
]
