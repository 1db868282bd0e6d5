"""Recorded effects: what free games and desktops sound like, from Debian packages, cut and kept as one .npz.

    python -m recipes.pocket.recorded_effects --cache .pocket

Needs `apt-get` and `dpkg-deb`; nothing is installed. Licences: see NOTICE. Waves are 16 kHz, mono, int16.
"""

from __future__ import annotations

import argparse
import io
import math
import random
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from functools import cache as once
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile

from recipes.pocket.recordings import paced
from recipes.pocket.sounds import RATE, SAMPLES, trim
from recipes.pocket.world import PITCHES, TONELESS, Sound

# concept -> Debian package -> the ends of the paths of its files; what is in an archive stands below the archive
FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "helicopter": {
        "flightgear-data-base": ("rotor-2blade.wav",),
        "openttd-opensfx": ("opensfx.cat/024",),
        "scorched3d-data": ("helicopter.wav",),
        "searchandrescue-data": ("helicopter_engine_outside*.wav", "helicopter_engine_inside.wav",
                                 "hh6?/engine_inside.wav"),
    },
    "fireworks": {
        "boswars-data": ("*_g_hit.wav", "assault_attack.wav"),
        "bzflag-data": ("boom.wav", "explosion.wav"),
        "chromium-bsu-data": ("explo*.wav",),
        "gl-117-data": ("explode1.wav",),
        "marsshooter-data": ("planetExplode.wav",),
        "moon-lander-data": ("explosion2.wav",),
        "openarena-data": ("grenlf1a.wav", "machgf?b.wav", "vulcanf?b.wav", "wstbexpl.wav", "rocklx1a.wav",
                           "sshotf1b.wav", "kam_explode.wav"),
        "openttd-opensfx": ("opensfx.cat/018",),
        "scorched3d-data": ("explosions/exp.wav", "explosions/*large.wav", "explosions/medium.wav",
                            "explosions/small.wav", "apoc/data/wav/explosions/tank.wav", "shoot/*large.wav",
                            "shoot/medium.wav", "shotgun.wav"),
        "searchandrescue-data": ("crash_ground.wav",),
        "simutrans-pak64": ("explosion.wav",),
        "sonic-pi-samples": ("perc_impact1.flac",),
        "starfighter-data": ("explode*.ogg",),
        "supertux-data": ("explosion.wav",),
        "tuxpaint-stamps-default": ("fireworks.ogg",),
        "ufoai-sound": ("bullet-*bolter.ogg", "bullet-pistol*.ogg", "bullet-rifle.ogg", "bullet-*-1x.ogg",
                        "bullet-shotgun.ogg", "bullet-shotgunmini.ogg", "bullet-smg.ogg", "bullet-sniper.ogg",
                        "weapons/explosion.ogg", "explosion-[fgpr]*.ogg", "grenade-launcher.ogg", "combat-gun.ogg",
                        "combat-explosion.ogg", "combat-rocket-exp.ogg"),
        "warzone2100-data": ("lrgexpl.ogg", "smlexpl.ogg", "mpodexpl.ogg", "lrgcan.ogg", "medcan.ogg", "smlcan.ogg",
                             "mortar.ogg"),
        "wesnoth-1.16-data": ("gunshot.wav", "sounds/explosion.ogg", "thunderstick.ogg"),
    },
    "telephone": {
        "linphone-common": ("oldphone-mono.wav",),
        "lomiri-sounds": ("Alarm clock.ogg",),
        "oxygen-sounds": ("Oxygen-Im-Phone-Ring.ogg",),
        "sound-theme-freedesktop": ("phone-incoming-call.oga",),
        "supertux-data": ("phone.wav",),
        "twinkle-common": ("ringtone.wav",),
    },
    "wind chime": {
        "lmms-common": ("wind_chimes01.ogg",),
        "lomiri-sounds": ("Wind chime.ogg",),
        "sonic-pi-samples": ("perc_bell.flac", "elec_chime.flac"),
        "supertux-data": ("savebell2.wav",),
        "ufoai-sound": ("jingle*.ogg",),
        "wesnoth-1.16-data": ("heal.wav",),
        "widelands-data": ("goldping.ogg",),
    },
    "clapping hands": {
        "heroes-sound-effects": ("foule?.wav",),
        "lmms-common": ("applause01.ogg",),
        "openttd-opensfx": ("opensfx.cat/029",),
        "tuxfootball": ("crowdcheer.wav",),
        "tuxmath-data": ("cheer.wav",),
    },
    "wave": {
        "flightgear-data-base": ("Sounds/wave.wav",),
        "scorched3d-data": ("oceanwaves.wav",),
        "simutrans-pak64": ("Water.wav",),
        "ufoai-sound": ("water01.ogg",),
        "wesnoth-1.16-data": ("ambient/ship.ogg",),
    },
    "bird": {
        "openttd-opensfx": ("opensfx.cat/066", "opensfx.cat/072"),
        "scorched3d-data": ("bird*.wav",),
        "simutrans-pak64": ("forest.wav", "tropic.wav"),
        "tuxpaint-stamps-default": ("blackbird.ogg", "cuckoo.ogg", "lark.ogg", "quetzal.ogg", "tucan.ogg"),
        "wesnoth-1.16-data": ("birds?.ogg",),
        "widelands-data": ("bird?_??.ogg",),
    },
    "drum": {
        "lmms-common": ("drums/tom0[2-5].ogg", "drums/tom_*.ogg",),
        "sonic-pi-samples": ("drum_tom_*.flac",),
        "tuxpaint-stamps-default": ("drum_tomtom_floor.ogg",),
        "wesnoth-1.16-data": ("wardrums.ogg",),
    },
}  # fmt: skip
SOUND_FILES, ZIPPED, CARVED = (".wav", ".ogg", ".oga", ".flac"), (".pk3", ".wz"), (".cat",)
LOOPS = frozenset({"helicopter", "wave", "clapping hands", "telephone"})  # short recordings of them are repeated
STEADY = LOOPS | {"bird"}  # go on, so that they can begin anywhere; the others are struck
LONGEST = 5 * SAMPLES  # what is kept of a recording
CROSS = RATE // 20  # samples in which the end of a loop turns into its beginning
LAYERED = 0.3  # of what goes on is two moments of recordings at once
ABOVE = 36  # semitones: so far over its note is the loudest part of a chime


def package(name: str, cache: Path) -> Path:
    """The file of a Debian package, downloaded into the cache once."""
    folder = cache / "deb"
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob(f"{name}_*.deb")):
        subprocess.run(["apt-get", "download", name], cwd=folder, check=True, capture_output=True)
    return next(folder.glob(f"{name}_*.deb"))


def members(deb: Path) -> Iterator[tuple[str, bytes]]:
    """The paths and contents of the sounds of a package, and of those in its archives."""
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as unpacking,
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive,
    ):
        for member in archive:
            wanted = member.isfile() and member.name.endswith(SOUND_FILES + ZIPPED + CARVED)
            if wanted and (file := archive.extractfile(member)):
                yield from _inside(member.name, file.read())


def _inside(path: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """A sound itself, or the sounds in an archive."""
    if path.endswith(ZIPPED):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            yield from ((f"{path}/{name}", packed.read(name)) for name in packed.namelist() if name[-4:] in SOUND_FILES)
    elif path.endswith(CARVED):
        yield from ((f"{path}/{i:03d}", wave) for i, wave in enumerate(carved(content)))
    else:
        yield path, content


def carved(content: bytes) -> Iterator[bytes]:
    """The RIFF waves that lie one after another in an archive."""
    at = content.find(b"RIFF")
    while at >= 0:
        end = at + 8 + int.from_bytes(content[at + 4 : at + 8], "little")
        yield content[at:end]
        at = content.find(b"RIFF", end)


def read(content: bytes) -> np.ndarray:
    """The contents of a sound file -> int16 [n] at full scale, from where it is first heard to where it is last."""
    content = content[max(0, content.find(b"OggS")) :]  # some are in the wrapping of a wave
    wave, rate = soundfile.read(io.BytesIO(content), always_2d=True)
    wave = paced(wave.mean(1)[: 2 * LONGEST * rate // RATE], rate / RATE)
    heard = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
    wave = wave[max(0, heard[0] - RATE // 100) : heard[-1] + RATE // 100][:LONGEST]
    return (wave * (32_000 / np.abs(wave).max())).round().astype(np.int16)


def collect(cache: Path) -> dict[str, np.ndarray]:
    """`concept:package:path` -> a recording, int16 [n]: all of `FILES`; each package is read once."""
    found = {}
    for name in sorted({name for packages in FILES.values() for name in packages}):
        ends = [(concept, end) for concept, packages in FILES.items() for end in packages.get(name, ())]
        for path, content in members(package(name, cache)):
            for concept in {concept for concept, end in ends if PurePosixPath(path).match(end)}:
                found[f"{concept}:{name}:{path}"] = read(content)
    return found


@once
def recordings(cache: Path) -> dict[str, list[np.ndarray]]:
    """Concept -> its recordings, int16 [n]: collected on the first call, then read from the cache."""
    path = cache / "sounds-effects.npz"
    if not path.exists():
        waves = collect(cache)
        lengths = [len(wave) for wave in waves.values()]
        np.savez(path, names=np.array(list(waves)), lengths=lengths, waves=np.concatenate(list(waves.values())))
    found: dict[str, list[np.ndarray]] = {concept: [] for concept in FILES}
    with np.load(path) as kept:
        parts = np.split(kept["waves"], np.cumsum(kept["lengths"])[:-1])
        for name, wave in zip(kept["names"].tolist(), parts, strict=True):
            found[name.partition(":")[0]].append(wave)
    return found


def make(sound: Sound, cache: Path, rng: random.Random) -> np.ndarray:
    """A moment of a random recording of a concept in `FILES`, int16 [SAMPLES]; at times two at once, if it goes on."""
    wave = _moment(sound, cache, rng)
    if sound.concept in STEADY and rng.random() < LAYERED:
        wave = trim(wave + rng.uniform(0.1, 1) * _moment(sound, cache, rng))
    return wave


def _moment(sound: Sound, cache: Path, rng: random.Random) -> np.ndarray:
    wave = rng.choice(recordings(cache)[sound.concept]).astype(np.float64)
    if sound.concept not in TONELESS:
        note = 69 + 12 * math.log2(loudest(wave) / 440)
        return trim(paced(wave, 2 ** ((PITCHES[sound.pitch] + ABOVE + rng.uniform(-4, 4) - note) / 12)))
    if sound.concept in LOOPS and len(wave) < 2 * SAMPLES:
        wave = repeated(wave, 3 * SAMPLES)
    start = rng.randrange(max(1, len(wave) - SAMPLES)) if sound.concept in STEADY else 0
    return trim(wave[start : start + SAMPLES + RATE // 2])


def repeated(wave: np.ndarray, length: int) -> np.ndarray:
    """A wave [n] as a loop of `length` samples whose ends are crossfaded."""
    cross = min(CROSS, len(wave) // 4)
    fade, loop = np.linspace(0, 1, cross), wave[: len(wave) - cross].copy()
    loop[:cross] = loop[:cross] * fade + wave[len(wave) - cross :] * (1 - fade)
    return np.resize(loop, length)


def loudest(wave: np.ndarray) -> float:
    """The frequency above 50 Hz that is loudest, in Hz."""
    power = np.abs(np.fft.rfft(wave))
    power[: 50 * len(wave) // RATE] = 0
    return float(power.argmax() * RATE / len(wave))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".pocket"))
    for concept, found in recordings(parser.parse_args().cache).items():
        print(f"{concept:16s} {len(found):4d} recordings, {sum(map(len, found)) / RATE:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
