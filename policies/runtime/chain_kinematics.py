"""Kinematics of a serial chain: frames, Jacobian, and the inverse as the simulator's controller has it.

In plain numbers, but for products of whole matrices: for three numbers NumPy takes longer to begin than Python to end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from toyshift.core.arrays import Array
from toyshift.policies.runtime.turns import Rows, Triple, product, rotvec_of, rotvec_to_matrix

if TYPE_CHECKING:
    from toyshift.policies.runtime.arm_chain import ChainJoint

# as `envs.control.kinematics` has them; tests hold both to one another
ITERATIONS, DAMPING, MAX_STEP, POSTURE_GAIN = 3, 1e-4, 0.3, 0.05
REMEMBERED = 64  # places of the joints; a control step asks for the same few again and again
Six = tuple[float, float, float, float, float, float]


class ChainFrames(NamedTuple):
    """Where a chain's joints and its hand are, in the base frame.

    Attributes:
        joints: of each its axis and its place [m], (n, 6).
        position: of the hand (3,) [m].
        rotation: of the hand (3, 3), by rows.
    """

    joints: list[Six]
    position: Triple
    rotation: Rows


class _Link(NamedTuple):
    """The way from a joint's frame to the next one's, whose z is that joint's axis: a move, a tilt about x, a turn
    about z.

    Any rotation is a turn about z, one about x and one about z again (Euler); the first of them is left to the link
    before. So a link turns two columns twice in the place of a product of matrices.
    """

    offset: Triple  # in the frame before [m]
    cosine: float  # of the tilt
    sine: float
    turn: float  # beside the joint's own [rad]
    slides: bool


class ChainKinematics:
    """Where a chain's joints lead, and which joints lead to a place.

    Args:
        joints: from the base to the hand.
        hand_offset: of the hand's frame from the last joint's, in that joint's frame (3,) [m].
        hand_rotation: (3, 3) of the hand's frame in the last joint's.
        home: joint positions that the arm leans to where the hand's pose leaves a choice [rad or m].
    """

    def __init__(self, joints: Sequence[ChainJoint], hand_offset: Array, hand_rotation: Array, home: Array) -> None:
        self._slides = [joint.kind == "slide" for joint in joints]
        axes = [np.asarray(joint.axis, np.float64) for joint in joints]
        offsets = [np.asarray(offset, np.float64) for offset in (*(joint.offset for joint in joints), hand_offset)]
        self._start, self._links = _linked(axes, offsets, self._slides, np.asarray(hand_rotation, np.float64))
        self.low, self.high = np.array([(joint.low, joint.high) for joint in joints]).T
        self._ways = [(float(joint.low), float(joint.high)) for joint in joints]
        self._home = np.asarray(home, np.float64).tolist()
        self._known: dict[tuple[float, ...], ChainFrames] = {}  # by joint positions

    def forward(self, joints: Array) -> tuple[Array, Array]:
        """Returns the hand's position (3,) [m] and rotation (3, 3) in the robot's base frame.

        Args:
            joints: positions (n,), in order [rad or m].
        """
        frames = self.frames(joints)
        return np.array(frames.position), np.array(frames.rotation)

    def frames(self, joints: Array) -> ChainFrames:
        """Returns the same and the joints' lines, in plain numbers; arguments as those of `forward`."""
        return self._frames(tuple(np.asarray(joints, np.float64).tolist()))

    def solve(self, joints: Array, position: Array, rotation: Array) -> Array:
        """Returns joint positions (n,) that bring the hand towards a pose: damped least squares with a posture.

        The same steps as the simulator's controller makes, so that an action means the same there and here.

        Args:
            joints: where to start (n,).
            position: of the hand (3,), base frame [m].
            rotation: of the hand (3, 3), base frame.
        """
        place, turn = np.asarray(position, np.float64), np.asarray(rotation, np.float64)
        return np.array(self.solved(np.asarray(joints, np.float64).tolist(), place.tolist(), turn.tolist()))

    def solved(self, joints: list[float], position: Triple, rotation: Rows) -> list[float]:
        """Does what `solve` does, in plain numbers."""
        for _ in range(ITERATIONS):
            frames = self._frames(tuple(joints))
            error = [wanted - there for wanted, there in zip(position, frames.position, strict=True)]
            error += rotvec_of(product(rotation, frames.rotation))  # of a rotation the rows are its inverse's columns
            posture = [POSTURE_GAIN * (home - value) for home, value in zip(self._home, joints, strict=True)]
            slopes = self._slopes(frames)
            u, v, w, x, y, z = _weights(slopes, posture, error, DAMPING)
            step = [
                lean + a * u + b * v + c * w + d * x + e * y + f * z
                for (a, b, c, d, e, f), lean in zip(slopes, posture, strict=True)
            ]
            largest = max(map(abs, step))
            scale = MAX_STEP / largest if largest > MAX_STEP else 1.0
            there = [value + scale * change for value, change in zip(joints, step, strict=True)]
            joints = [
                low if value < low else high if value > high else value
                for value, (low, high) in zip(there, self._ways, strict=True)
            ]
        return joints

    def _frames(self, joints: tuple[float, ...]) -> ChainFrames:
        frames = self._known.get(joints)
        if frames is None:
            frames = self._computed(joints)
            if len(self._known) >= REMEMBERED:  # cheaper than to look for the oldest
                self._known = {}
            self._known[joints] = frames
        return frames

    def _computed(self, joints: tuple[float, ...]) -> ChainFrames:
        px = py = pz = xz = yz = zx = zy = 0.0  # place, and the frame's axes x, y, z by the base's
        xx, xy, zz = math.cos(self._start), math.sin(self._start), 1.0
        yx, yy = -xy, xx
        found = []
        for ((a, b, c), cosine, sine, turn, slides), value in zip(self._links, (*joints, 0.0), strict=True):
            px, py, pz = px + a * xx + b * yx + c * zx, py + a * xy + b * yy + c * zy, pz + a * xz + b * yz + c * zz
            yx, zx = cosine * yx + sine * zx, cosine * zx - sine * yx
            yy, zy = cosine * yy + sine * zy, cosine * zy - sine * yy
            yz, zz = cosine * yz + sine * zz, cosine * zz - sine * yz
            if slides:
                px, py, pz = px + value * zx, py + value * zy, pz + value * zz
            else:
                turn += value
            cos, sin = math.cos(turn), math.sin(turn)
            xx, yx = cos * xx + sin * yx, cos * yx - sin * xx
            xy, yy = cos * xy + sin * yy, cos * yy - sin * xy
            xz, yz = cos * xz + sin * yz, cos * yz - sin * xz
            found.append((zx, zy, zz, px, py, pz))
        found.pop()  # the hand's
        return ChainFrames(found, (px, py, pz), ((xx, yx, zx), (xy, yy, zy), (xz, yz, zz)))

    def _slopes(self, frames: ChainFrames) -> list[Six]:
        """Returns the hand's linear and angular velocity by each joint's: (n, 6), the Jacobian by columns."""
        (x, y, z), slopes = frames.position, []
        for (ax, ay, az, px, py, pz), slides in zip(frames.joints, self._slides, strict=True):
            if slides:
                slopes.append((ax, ay, az, 0.0, 0.0, 0.0))
            else:
                px, py, pz = x - px, y - py, z - pz
                slopes.append((ay * pz - az * py, az * px - ax * pz, ax * py - ay * px, ax, ay, az))
        return slopes


def _linked(
    axes: Sequence[Array], offsets: Sequence[Array], slides: Sequence[bool], hand: Array
) -> tuple[float, list[_Link]]:
    """Returns the first turn about z [rad], and the links of joints and hand.

    Args:
        axes: of the joints (3,), in the base frame while all are at zero.
        offsets: of joints and hand from the frame before (3,), likewise [m].
        slides: which joints do.
        hand: its rotation (3, 3), likewise.
    """
    frame, turns, tilted = np.eye(3), [], []
    for axis, offset in zip([*axes, hand[:, 2]], offsets, strict=True):
        x, y, z = (axis @ frame).tolist()
        turns.append(math.atan2(x, -y))  # after which the axis has no x
        frame = frame @ rotvec_to_matrix(np.array([0.0, 0.0, turns[-1]]))
        tilt = math.atan2(math.hypot(x, y), z)
        tilted.append((tuple((offset @ frame).tolist()), math.cos(tilt), math.sin(tilt)))
        frame = frame @ rotvec_to_matrix(np.array([tilt, 0.0, 0.0]))
    (cosine, sine), *_ = (frame.T @ hand)[:2].T.tolist()
    turns.append(math.atan2(sine, cosine))
    ways = zip(tilted, turns[1:], [*slides, False], strict=True)
    return turns[0], [_Link(*link, turn, slide) for link, turn, slide in ways]


def _weights(slopes: Sequence[Six], posture: Sequence[float], error: Sequence[float], damping: float) -> Six:
    """Solves (J J^T + damping) weights = error - J posture for a Jacobian J of which `slopes` (n, 6) are the columns.

    By L D L^T, with damping positive, so no pivot is zero. LAPACK wakes threads for six equations, which takes
    milliseconds on a busy machine.
    """
    aa = bb = cc = dd = ee = ff = damping
    ab = ac = ad = ae = af = bc = bd = be = bf = cd = ce = cf = de = df = ef = 0.0
    u, v, w, x, y, z = error
    for (a, b, c, d, e, f), lean in zip(slopes, posture, strict=True):
        aa, ab, ac, ad, ae, af, u = aa + a * a, ab + a * b, ac + a * c, ad + a * d, ae + a * e, af + a * f, u - a * lean
        bb, bc, bd, be, bf, v = bb + b * b, bc + b * c, bd + b * d, be + b * e, bf + b * f, v - b * lean
        cc, cd, ce, cf, w = cc + c * c, cd + c * d, ce + c * e, cf + c * f, w - c * lean
        dd, de, df, x = dd + d * d, de + d * e, df + d * f, x - d * lean
        ee, ef, y = ee + e * e, ef + e * f, y - e * lean
        ff, z = ff + f * f, z - f * lean
    # one row after the other is taken from those below it
    b, c, d, e, f = ab / aa, ac / aa, ad / aa, ae / aa, af / aa
    bb, bc, bd, be, bf, v = bb - b * ab, bc - b * ac, bd - b * ad, be - b * ae, bf - b * af, v - b * u
    cc, cd, ce, cf, w = cc - c * ac, cd - c * ad, ce - c * ae, cf - c * af, w - c * u
    dd, de, df, x = dd - d * ad, de - d * ae, df - d * af, x - d * u
    ee, ef, y = ee - e * ae, ef - e * af, y - e * u
    ff, z = ff - f * af, z - f * u
    c, d, e, f = bc / bb, bd / bb, be / bb, bf / bb
    cc, cd, ce, cf, w = cc - c * bc, cd - c * bd, ce - c * be, cf - c * bf, w - c * v
    dd, de, df, x = dd - d * bd, de - d * be, df - d * bf, x - d * v
    ee, ef, y = ee - e * be, ef - e * bf, y - e * v
    ff, z = ff - f * bf, z - f * v
    d, e, f = cd / cc, ce / cc, cf / cc
    dd, de, df, x = dd - d * cd, de - d * ce, df - d * cf, x - d * w
    ee, ef, y = ee - e * ce, ef - e * cf, y - e * w
    ff, z = ff - f * cf, z - f * w
    e, f = de / dd, df / dd
    ee, ef, y = ee - e * de, ef - e * df, y - e * x
    ff, z = ff - f * df, z - f * x
    f = ef / ee
    # and from the last one up
    z = (z - f * y) / (ff - f * ef)
    y = (y - ef * z) / ee
    x = (x - de * y - df * z) / dd
    w = (w - cd * x - ce * y - cf * z) / cc
    v = (v - bc * w - bd * x - be * y - bf * z) / bb
    return (u - ab * v - ac * w - ad * x - ae * y - af * z) / aa, v, w, x, y, z
