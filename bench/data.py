"""Generate the benchmark data from a seed: the same bytes on every machine.

The data has a realistic shape: the number of columns and their transformers, the length of values,
how often values repeat, and how many lines are irregular.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bench.geoip_data import ADDRESSES, write_databases

SEED = 20171103
START = 1_509_706_800
LOGINS = 12_000

Properties = dict[str, Any]
Columns = list[tuple[str, str, str, str]]
"""Inbound, outbound, transformer, supporting."""

_HEX = "0123456789abcdef"
_GAMES = ["Chess", "Go", "Poetry", "Speedrunning", "Woodworking", "Retro Games", "Painting"]
_HOSTS = ["www.example.com", "m.example.com", "player.example.com", "embed.example.org"]
_WORDS = [
    "".join(random.Random(f"{SEED} {word}").choices("aeioulnrstdm", k=4 + word % 7))
    for word in range(2000)
]
_AGENTS = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    f"Chrome/{major}.0.{minor}.89 Safari/537.36"
    for major in range(50, 63)
    for minor in range(3000, 3020)
] + [f"Dalvik/2.1.0 (Linux; U; Android {major}.0; SM-G{model})" for major in range(5, 9)
     for model in range(900, 960)]  # fmt: skip

VIDEO: Columns = [
    ("time", "time", "f@timestamp@unix", ""),
    ("time", "time_utc", "f@timestamp@unix-utc", ""),
    ("client_time", "client_time", "f@timestamp@unix", ""),
    ("ip", "ip", "varchar", ""),
    ("ip", "city", "ipCity", ""),
    ("ip", "country", "ipCountry", ""),
    ("ip", "region", "ipRegion", ""),
    ("ip", "asn", "ipAsn", ""),
    ("device_id", "device_id", "varchar", ""),
    ("login", "login", "varchar", ""),
    ("user_id", "user_id", "userIDWithMapping", "login"),
    ("channel", "channel", "varchar", ""),
    ("channel_id", "channel_id", "bigint", ""),
    ("game", "game", "varchar", ""),
    ("platform", "platform", "varchar", ""),
    ("player", "player", "varchar", ""),
    ("quality", "quality", "varchar", ""),
    ("url", "url", "varchar", ""),
    ("host", "host", "varchar", ""),
    ("referrer", "referrer", "varchar", ""),
    ("language", "language", "varchar", ""),
    ("browser", "browser", "varchar", ""),
    ("os", "os", "varchar", ""),
    ("minutes_logged", "minutes_logged", "int", ""),
    ("buffer_empty_count", "buffer_empty_count", "int", ""),
    ("bandwidth", "bandwidth", "float", ""),
    ("volume", "volume", "float", ""),
    ("muted", "muted", "bool", ""),
    ("live", "live", "bool", ""),
    ("broadcast_id", "broadcast_id", "bigint", ""),
]
PAGE: Columns = [
    ("time", "time", "f@timestamp@unix", ""),
    ("ip", "ip", "varchar", ""),
    ("ip", "country", "ipCountry", ""),
    ("user_agent", "user_agent", "varchar", ""),
    ("device_id", "device_id", "varchar", ""),
    ("login", "login", "varchar", ""),
    ("url", "url", "varchar", ""),
    ("host", "host", "varchar", ""),
    ("referrer", "referrer", "varchar", ""),
    ("language", "language", "varchar", ""),
    ("viewport_width", "viewport_width", "int", ""),
    ("viewport_height", "viewport_height", "int", ""),
    ("logged_in", "logged_in", "bool", ""),
]
CLICK: Columns = [
    ("time", "time", "f@timestamp@unix", ""),
    ("device_id", "device_id", "varchar", ""),
    ("login", "login", "varchar", ""),
    ("item", "item", "varchar", ""),
    ("position", "position", "int", ""),
    ("host", "host", "varchar", ""),
    ("logged_in", "logged_in", "bool", ""),
]
WIDE_KINDS = ["varchar", "varchar", "varchar", "int", "bigint", "bool", "float"]
WIDE: Columns = [("time", "time", "f@timestamp@unix", "")] + [
    (f"field_{number:03}", f"field_{number:03}", WIDE_KINDS[number % 7], "")
    for number in range(149)
]
_CLIENTS = [random.Random(f"{SEED} {kind}").sample(range(1009), 1009) for kind in range(6)]
"""The kinds of clients; each sends properties in its own order."""
_OTHERS = [f"click_{name}" for name in ("buy", "chat", "follow", "menu", "search", "share", "tab")]
RARE = "subscription_gift"

Event = tuple[str, Properties]


@dataclass(frozen=True)
class Dataset:
    """Objects of edge lines and the settings for them.

    Attributes:
        objects: The gzip objects.
        conf: The settings file.
        tables: The requested tables; empty for all.
    """

    objects: tuple[Path, ...]
    conf: Path
    tables: tuple[str, ...] = ()


def make(directory: Path, kind: str, events: int, objects: int = 1) -> Dataset:
    """Generate the data unless it exists.

    Args:
        directory: A cache directory, which may be deleted at any time.
        kind: ``clean``, ``real-life``, ``rare`` or ``wide``.
        events: The number of events in all objects together.
        objects: The number of objects.
    """
    folder = directory / f"{kind}-{events}-{objects}"
    conf = _configure(directory)
    paths = tuple(
        folder / f"{START + number}.node.{number:04x}.log.gz" for number in range(objects)
    )
    tables = (RARE,) if kind == "rare" else ()
    if not paths[-1].exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng = random.Random(f"{SEED} {kind}")
        for number, path in enumerate(paths):
            per_object = events // objects
            lines = _lines(rng, kind, per_object, START + 60 * number)
            partial = path.with_suffix(".part")
            with gzip.GzipFile(partial, "wb", 6, mtime=0) as out:
                out.writelines(lines)
            partial.rename(path)
    return Dataset(paths, conf, tables)


def _configure(directory: Path) -> Path:
    """Write schemas, logins, GeoIP databases and the settings with their paths."""
    conf = directory / "bench.toml"
    if conf.exists():
        return conf
    directory.mkdir(parents=True, exist_ok=True)
    write_databases(directory)
    (directory / "schemas.json").write_text(json.dumps(list(_schemas())))
    (directory / "logins.json").write_text(
        json.dumps({_login(n): 10_000 + n for n in range(LOGINS)})
    )
    conf.write_text(
        f'[blueprint]\nschemas = "{directory / "schemas.json"}"\n'
        f'[lookups.geoip]\ncity = "{directory / "city.mmdb"}"\nasn = "{directory / "asn.mmdb"}"\n'
        f'[lookups.users]\ntable = "{directory / "logins.json"}"\n'
    )
    return conf


def _schemas() -> Iterator[dict[str, Any]]:
    tables = {"video_minute": VIDEO, "page_view": PAGE, "wide_event": WIDE, RARE: PAGE}
    tables |= dict.fromkeys(_OTHERS, CLICK)
    for version, (name, columns) in enumerate(tables.items(), 1):
        yield {
            "EventName": name,
            "Version": version,
            "Columns": [
                {
                    "InboundName": inbound,
                    "OutboundName": outbound,
                    "Transformer": transformer,
                    "ColumnCreationOptions": "(255)" if transformer == "varchar" else "",
                    "SupportingColumns": supporting,
                }
                for inbound, outbound, transformer, supporting in columns
            ],
        }


def _lines(rng: random.Random, kind: str, count: int, start: int) -> Iterator[bytes]:
    for number in range(count):
        event = _wide(rng) if kind == "wide" else _clean(rng)
        if kind == "rare" and rng.random() < 0.01:
            event = (RARE, _page(rng))
        if kind == "real-life" and rng.random() < 1 / 3:
            _make_irregular(rng, event[1])
        payload = json.dumps(
            {"event": event[0], "properties": _in_order(event[1], rng.choice(_CLIENTS))},
            separators=(",", ":"),
            ensure_ascii=rng.random() < 0.3,
        ).encode()
        if kind == "real-life" and rng.random() < 0.01:
            payload = payload[: rng.randrange(len(payload))]
        yield _line(rng, payload, start + 3600 * number // count)


def _in_order(properties: Properties, client: list[int]) -> Properties:
    """Return the properties in the order of one kind of client."""
    names = sorted(properties, key=lambda name: client[zlib.crc32(name.encode()) % len(client)])
    return {name: properties[name] for name in names}


def _line(rng: random.Random, payload: bytes, second: int) -> bytes:
    received = datetime.fromtimestamp(second, timezone.utc)
    record = {
        "receivedAt": f"{received:%Y-%m-%dT%H:%M:%S}.{rng.randrange(10**9):09}Z",
        "clientIp": _skewed(rng, ADDRESSES),
        "xForwardedFor": f"10.0.{rng.randrange(256)}.{rng.randrange(256)}",
        "uuid": f"{rng.getrandbits(32):08x}-{rng.getrandbits(32):08x}-{rng.getrandbits(64):016x}",
        "data": base64.b64encode(payload).decode(),
        "userAgent": _skewed(rng, _AGENTS),
        "recordversion": 4,
        "edgeType": "external",
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _clean(rng: random.Random) -> Event:
    draw = rng.random()
    if draw < 0.6:
        return "video_minute", _video(rng)
    if draw < 0.9:
        return "page_view", _page(rng)
    if draw < 0.97:
        return rng.choice(_OTHERS), _click(rng)
    return "no_table_of_this_name", _click(rng)


def _video(rng: random.Random) -> Properties:
    properties = {
        "time": START + rng.randrange(3600) + rng.randrange(1000) / 1000,
        "device_id": _hex(rng, 32),
        "login": _login(int(LOGINS * rng.random() ** 2)),
        "channel": _login(int(3000 * rng.random() ** 3)),
        "channel_id": rng.randrange(10**8),
        "game": rng.choice(_GAMES),
        "platform": rng.choice(["web", "android", "ios", "console"]),
        "player": rng.choice(["site", "embed", "frontpage"]),
        "quality": rng.choice(["chunked", "high", "medium", "low", "mobile"]),
        "host": rng.choice(_HOSTS),
        "url": _url(rng),
        "referrer": _url(rng),
        "language": rng.choice(["en", "de", "fr", "ko", "pt-BR", "ru", "zh-TW"]),
        "browser": rng.choice(["chrome", "firefox", "safari", "edge"]),
        "os": rng.choice(["windows", "macos", "linux", "android"]),
        "minutes_logged": rng.randrange(1, 600),
        "buffer_empty_count": rng.randrange(4),
        "bandwidth": round(rng.random() * 6000, 3),
        "volume": rng.randrange(100) / 100,
        "muted": rng.random() < 0.2,
        "live": rng.random() < 0.9,
        "broadcast_id": rng.randrange(10**10, 10**11),
        "app_version": f"1.{rng.randrange(40)}.{rng.randrange(10)}",
        "session": _hex(rng, 32),
        "play_session": _hex(rng, 32),
        "experiments": f"{_hex(rng, 8)},{_hex(rng, 8)}",
    }
    if rng.random() < 0.5:
        properties["user_id"] = rng.randrange(10**8)
    return properties


def _page(rng: random.Random) -> Properties:
    return {
        "device_id": _hex(rng, 32),
        "login": _login(int(LOGINS * rng.random() ** 2)),
        "url": _url(rng),
        "host": rng.choice(_HOSTS),
        "referrer": _url(rng),
        "language": rng.choice(["en", "de", "fr", "ko", "pt-BR", "ru", "zh-TW"]),
        "viewport_width": rng.randrange(300, 2600),
        "viewport_height": rng.randrange(300, 1500),
        "logged_in": rng.random() < 0.5,
    }


def _click(rng: random.Random) -> Properties:
    return {
        "device_id": _hex(rng, 32),
        "login": _login(int(LOGINS * rng.random() ** 2)),
        "item": rng.choice(["button", "link", "icon", "menu entry"]),
        "position": rng.randrange(40),
        "host": rng.choice(_HOSTS),
        "logged_in": rng.random() < 0.5,
    }


def _wide(rng: random.Random) -> Event:
    makers: dict[str, Callable[[], Any]] = {
        "varchar": lambda: _hex(rng, rng.randrange(4, 20)),
        "int": lambda: rng.randrange(10**6),
        "bigint": lambda: rng.randrange(10**12),
        "bool": lambda: rng.random() < 0.5,
        "float": lambda: round(rng.random() * 1000, 3),
    }
    chosen = sorted(rng.sample(range(149), 40))
    return "wide_event", {f"field_{n:03}": makers[WIDE_KINDS[n % 7]]() for n in chosen}


def _make_irregular(rng: random.Random, properties: Properties) -> None:
    """Make an event irregular in one of five ways."""
    names = list(properties)
    texts = [name for name in names if isinstance(properties[name], str)]
    numbers = [name for name in names if type(properties[name]) is int]
    match rng.randrange(5):
        case 0:
            properties.update(dict.fromkeys(rng.sample(names, 3)))
        case 1:
            for name in rng.sample(names, 3):
                del properties[name]
        case 2:
            properties[rng.choice(texts)] = rng.choice(
                [
                    "Pok\u00e9mon",
                    "\u30b2\u30fc\u30e0",
                    "\u041c\u043e\u0441\u043a\u0432\u0430",
                    "na\u00efve \U0001f600",
                ]
            )
        case 3:
            properties[rng.choice(texts)] = rng.choice(
                ['say "hi"', "C:\\games", "two\nlines", "tab\there"]
            )
        case 4:
            for name in numbers:
                properties[name] = str(properties[name])


def _url(rng: random.Random) -> str:
    words = "/".join(rng.choice(_WORDS) for _ in range(rng.randrange(1, 5)))
    tail = f"?{rng.choice(_WORDS)}={_hex(rng, 8)}" if rng.random() < 0.5 else ""
    return f"https://{rng.choice(_HOSTS)}/{words}{tail}"


def _login(number: int) -> str:
    return f"viewer_{number * 7919 % 1_000_003}"


def _hex(rng: random.Random, digits: int) -> str:
    return "".join(rng.choices(_HEX, k=digits))


def _skewed(rng: random.Random, items: list[str]) -> str:
    """Return an item; earlier items are much more likely than later ones."""
    return items[int(len(items) * rng.random() ** 2)]
