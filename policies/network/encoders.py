"""Image encoders: uint8 images in, a grid of patch tokens with their positions out; those of a few convolutions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from toyshift.core.errors import ConfigError
from toyshift.policies.config import PolicyConfig
from toyshift.policies.parts import ENCODERS, part_of

PATCH = 8  # pixels along one side of the patch that a token of the conv encoders stands for
GROUPS = 8
SPARSE_SHARE = 0.4  # below this share of wanted tokens, windows are cheaper than the whole image


def make_encoder(config: PolicyConfig, size: tuple[int, int]) -> nn.Module:
    """Builds the encoder of one view, an `Encoder`, for images of size (height, width).

    Raises:
        ConfigError: the encoder does not take images of this size.
        MissingDependencyError: timm is missing, for ViTs, ResNet and EfficientNet.
    """
    side = config.encoder_size
    encoder: nn.Module = part_of("encoder", config.encoder, ENCODERS)(config, (side, side) if side else size)
    return encoder


# ---------------------------------------------------------------- what encoders share


class Jitter(NamedTuple):
    """Photometric augmentation of one view, applied to standardised pixels: x * gain + bias.

    Attributes:
        gain: (B, 3) factor per colour channel.
        bias: (B,) shift, in units of the standardised pixel.
    """

    gain: Tensor
    bias: Tensor


def standardise(images: Tensor, jitter: Jitter | None = None) -> Tensor:
    """Turns sRGB images (B, H, W, 3) uint8 into channels-last floats (B, 3, H, W) of about unit scale."""
    if jitter is None:
        return images.permute(0, 3, 1, 2).float() * (4.0 / 255.0) - 2.0
    # A row of pixels at once: a loop over three channels at a time takes four times as long.
    batch, height, width, channels = images.shape
    bias, gain = (
        v[:, None, None].expand(-1, 1, width, -1).flatten(2)  # (B, 1, W * 3)
        for v in (jitter.bias[:, None] - 2.0 * jitter.gain, jitter.gain * (4.0 / 255.0))
    )
    x = images.to(torch.float32, copy=True).reshape(batch, height, width * channels)
    return torch.addcmul(bias, x, gain, out=x).reshape(images.shape).permute(0, 3, 1, 2)


class TokenMLP(nn.Module):
    """A residual two-layer MLP applied to every token by itself; it mixes what is seen with where it is seen."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        nn.init.kaiming_normal_(self.up.weight, nonlinearity="relu")
        nn.init.zeros_(self.down.bias)

    def forward(self, tokens: Tensor) -> Tensor:  # (B, N, C) -> (B, N, C)
        out: Tensor = tokens + self.down(torch.relu_(self.up(tokens)))
        return out


def initial_position(grid: tuple[int, int], width: int) -> Tensor:
    """Returns the (N, width) start of the learned positions: smooth functions of each patch's place, then small noise.

    The first channels are x, y, their products, and waves of one, two and four periods (x and y in [-1, 1] at the
    image's borders). Pooled over a target they are its centre, its extent and finer moments: a policy need not discover
    them.
    """
    rows, columns = grid
    y = (torch.arange(rows) + 0.5) * (2.0 / rows) - 1.0
    x = (torch.arange(columns) + 0.5) * (2.0 / columns) - 1.0
    y, x = (t.flatten() for t in torch.meshgrid(y, x, indexing="ij"))  # (N,)
    waves = [wave(n * torch.pi * t) for n in (1, 2, 4) for t in (x, y) for wave in (torch.sin, torch.cos)]
    smooth = torch.stack([x, y, x * x, y * y, x * y, *waves], dim=1)[:, :width]
    noise = 0.02 * torch.randn(rows * columns, width - smooth.shape[1])
    return torch.cat([smooth, noise], dim=1)


class Encoder(nn.Module):
    """What all encoders have: `forward` and the attributes.

    Args:
        config: coordinates and the mask channel are used.
        size: image height and width [pixels], multiples of the patch.
        patch: side of a patch [pixels].

    Attributes:
        size: height and width of the images that it works at [pixels].
        patch: side of a patch [pixels].
        grid: rows and columns of patches.
        tokens: number of patches (N).
        class_only: its only token is a class token, which has no place.

    Raises:
        ConfigError: the image is no multiple of the patch.
    """

    coordinates: Tensor | None
    class_only = False

    def __init__(self, config: PolicyConfig, size: tuple[int, int], patch: int) -> None:
        super().__init__()
        height, width = size
        if height % patch or width % patch or min(size) < patch:
            raise ConfigError(
                f"images of {height}x{width} pixels are no multiple of the patch of {config.encoder} ({patch} pixels, "
                f"weights {config.weight_family}); set --encoder-size to a multiple, "
                f"e.g. {patch * max(1, round(max(size) / patch))}"
            )
        self.size, self.patch, self.grid = size, patch, (height // patch, width // patch)
        self.tokens = self.grid[0] * self.grid[1]
        self.mask_input = config.mask_channel
        y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        plane = torch.stack([x, y])[None] if config.coordinates else None  # (1, 2, H, W)
        self.register_buffer("coordinates", plane, persistent=False)

    def with_planes(self, x: Tensor, target: Tensor | None) -> Tensor:
        """Adds the pixels' places and the target (B, H, W) to x (B, 3, H, W), where the encoder is shown them."""
        planes = [] if self.coordinates is None else [self.coordinates.expand(x.shape[0], -1, -1, -1)]
        if self.mask_input:
            assert target is not None
            planes.append(target[:, None] * 2.0 - 1.0)
        return torch.cat([x, *planes], dim=1) if planes else x

    def forward(
        self, images: Tensor, target: Tensor | None = None, jitter: Jitter | None = None, wanted: Tensor | None = None
    ) -> Tensor:
        """Encodes one view.

        Args:
            images: (B, H, W, 3) sRGB, uint8 or float of the same range.
            target: (B, H, W) float, 1 on the target's pixels; needed with a mask channel only.
            jitter: photometric augmentation.
            wanted: (B, N) bool, the tokens that will be used: conv encoders may give zeros for the others, and in a ViT
                with masked attention they do not see the others. None = all.

        Returns:
            tokens (B, N, C), row by row from the image's top left.
        """
        raise NotImplementedError


# ---------------------------------------------------------------- convolutions


class ConvEncoder(Encoder):
    """A few convolutions from pixels to an (H/8, W/8) grid of tokens, then a learned position and a token MLP.

    A token sees some pixels beyond its patch (14 pixels wide for conv-small), so a mask applied at the pooling lets a
    little background through: the paper's appendix E, not its full attention mask.

    Where only some tokens are wanted (detection pooling), they are computed from their own windows of pixels, with the
    same result: a target that covers a tenth of the patches then costs about a fifth of the whole image.

    Args:
        config: width, norm, coordinates and mask_channel are used.
        size: image height and width [pixels], multiples of 8.
        layers: (channels, kernel, stride) of each convolution; a channel count of 0 stands for `config.width`.
    """

    def __init__(self, config: PolicyConfig, size: tuple[int, int], layers: tuple[tuple[int, int, int], ...]) -> None:
        super().__init__(config, size, PATCH)
        channels = config.input_channels
        self.widened = channels > 3
        modules: list[nn.Module] = []
        for out, kernel, stride in layers:
            out = out or config.width
            convolution = nn.Conv2d(channels, out, kernel, stride, padding=(kernel - stride + 1) // 2)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
            modules.append(convolution)
            if config.norm == "group":
                modules.append(nn.GroupNorm(GROUPS, out))
            modules.append(nn.ReLU(inplace=True))
            channels = out
        self.layers = nn.Sequential(*modules).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.position = nn.Parameter(initial_position(self.grid, config.width))
        self.mlp = TokenMLP(config.width, config.token_hidden)
        self.local = config.norm == "none"  # GroupNorm mixes all positions: a window is then not enough

    def forward(
        self, images: Tensor, target: Tensor | None = None, jitter: Jitter | None = None, wanted: Tensor | None = None
    ) -> Tensor:
        x = self.with_planes(standardise(images, jitter), target)
        if self.widened:
            x = x.contiguous(memory_format=torch.channels_last)
        if wanted is not None and self.local:
            index = wanted.flatten().nonzero().squeeze(1)  # (n,)
            if len(index) < SPARSE_SHARE * wanted.numel():
                return self._some(x, index)
        x = self.layers(x).flatten(2).transpose(1, 2)  # (B, N, C): a view of channels-last memory
        out: Tensor = self.mlp(x + self.position)
        return out

    def _some(self, x: Tensor, index: Tensor) -> Tensor:
        """Computes the tokens `index` (n,) of the flattened (B, N) from windows of x (B, C, H, W); zeros elsewhere."""
        batch, columns = x.shape[0], self.grid[1]
        convolutions = [m for m in self.layers if isinstance(m, nn.Conv2d)]
        sizes = [(x.shape[2], x.shape[3])]  # of each layer's input, then of the last output
        for c in convolutions:
            height, width = ((n + 2 * int(c.padding[0]) - c.kernel_size[0]) // c.stride[0] + 1 for n in sizes[-1])
            sizes.append((height, width))
        # Backwards from one token: the window of each layer's input starts at scale * token - shift and is `span` wide.
        scale, shift, span = 1, 0, 1
        starts = [(scale, shift)]
        for c in reversed(convolutions):
            stride, kernel, padding = c.stride[0], c.kernel_size[0], int(c.padding[0])
            scale, shift, span = scale * stride, shift * stride + padding, (span - 1) * stride + kernel
            starts.insert(0, (scale, shift))
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))  # as the first product would: less to copy until then
        padded = nn.functional.pad(x, (shift, span, shift, span))  # more than the last window needs
        # (B, rows, columns, span, span, C)
        windows = padded.permute(0, 2, 3, 1).unfold(1, span, scale).unfold(2, span, scale).permute(0, 1, 2, 4, 5, 3)
        sample = index // self.tokens
        row, column = (index % self.tokens) // columns, index % columns
        x = windows[sample, row, column]  # (n, span, span, C)
        for convolution, (scale, shift), (height, width) in zip(convolutions, starts[1:], sizes[1:], strict=True):
            x = _convolved(x, convolution).relu_()
            if x.shape[1] > 1:  # what lies outside this layer's grid is zero padding for the next layer
                offsets = torch.arange(x.shape[1], device=x.device)
                rows, cols = (scale * t[:, None] - shift + offsets for t in (row, column))  # (n, span)
                inside = ((rows >= 0) & (rows < height))[:, :, None] & ((cols >= 0) & (cols < width))[:, None, :]
                x = x * inside[..., None].to(x.dtype)
        # embedding and not indexing: the gradient of an index is summed by threads in any order, and a resumed run must
        # be bit-equal
        some = self.mlp(x.flatten(1) + nn.functional.embedding(index % self.tokens, self.position))  # (n, C)
        out: Tensor = some.new_zeros(batch * self.tokens, some.shape[1]).index_copy_(0, index, some)
        return out.reshape(batch, self.tokens, some.shape[1])


def _convolved(windows: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Convolves windows (n, span, span, C) without padding, as one product; returns (n, rows, columns, channels).

    oneDNN's convolution of thousands of windows this small takes five times as long, most of it in the backward pass.
    """
    (down, across), (y, x) = convolution.kernel_size, convolution.stride
    if windows.shape[1:3] == (down, across):  # nothing overlaps
        patches = windows[:, None, None]
    else:
        patches = windows.unfold(1, down, y).unfold(2, across, x).permute(0, 1, 2, 4, 5, 3)
    weight = convolution.weight.permute(0, 2, 3, 1).flatten(1)
    return nn.functional.linear(patches.flatten(3), weight, convolution.bias)  # from (n, rows, columns, k, k, C)


def conv_small(config: PolicyConfig, size: tuple[int, int]) -> ConvEncoder:
    """Stem 6x6 stride 4, then 3x3 stride 2: 1.6 times as fast on AVX2 as the prototype's stack at equal capacity."""
    return ConvEncoder(config, size, ((config.stem, 6, 4), (0, 3, 2)))


def conv_classic(config: PolicyConfig, size: tuple[int, int]) -> ConvEncoder:
    """The prototype's stack: 5x5, 3x3, 3x3, each with stride 2, then 1x1."""
    return ConvEncoder(config, size, ((32, 5, 2), (64, 3, 2), (0, 3, 2), (0, 1, 1)))
