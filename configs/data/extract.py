"""Makes fontana-2016-2017.csv, byte for byte, from the wheel in which its source is published.

    pip download --no-deps citylearn==2.1.2
    python configs/data/extract.py CityLearn-2.1.2-py3-none-any.whl > configs/data/fontana-2016-2017.csv

1. The wheel is checked against its SHA-256.
2. For every home: load = "Equipment Electric Power [kWh]" x 1000; generation = "Solar Generation [W/kW]" x the nominal
   power of the home's panels in kW (schema.json). Both are Wh of the hour.
3. Each is rounded half up to a whole Wh, in decimal arithmetic on the digits of the source.

Only the standard library of Python is needed.
"""

import csv
import hashlib
import io
import json
import sys
import zipfile
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

WHEEL_SHA256 = "95730b1deed73b1f5a4d17eb8334be3c99efa4aef8677822378d62d8359511dd"
FOLDER = "citylearn/data/citylearn_challenge_2022_phase_all"
HOMES = [*range(1, 14), 16, 17]
"""Homes 14 and 15 are left out: their panels gave almost nothing (6.8 and 0.4 kWh a day)."""
HOURS = 8760


def watt_hours(exact: Decimal) -> int:
    """Rounded half up."""
    return int(exact.to_integral_value(ROUND_HALF_UP))


def read_home(wheel: zipfile.ZipFile, home: int, nominal_power: Decimal) -> list[tuple[int, int]]:
    """Load and generation in Wh of every hour."""
    text = wheel.read(f"{FOLDER}/Building_{home}.csv").decode()
    readings = [
        (
            watt_hours(Decimal(row["Equipment Electric Power [kWh]"]) * 1000),
            watt_hours(Decimal(row["Solar Generation [W/kW]"]) * nominal_power),
        )
        for row in csv.DictReader(io.StringIO(text))
    ]
    assert len(readings) == HOURS
    return readings


def extract(wheel_path: Path) -> str:
    """The text of the data file."""
    if hashlib.sha256(wheel_path.read_bytes()).hexdigest() != WHEEL_SHA256:
        raise SystemExit(f"{wheel_path}: not the wheel of citylearn 2.1.2 (SHA-256 {WHEEL_SHA256} expected)")
    with zipfile.ZipFile(wheel_path) as wheel:
        buildings = json.loads(wheel.read(f"{FOLDER}/schema.json"), parse_float=Decimal)["buildings"]
        columns = [
            read_home(wheel, home, Decimal(buildings[f"Building_{home}"]["pv"]["attributes"]["nominal_power"]))
            for home in HOMES
        ]
    header = ",".join(["hour", *(f"home{home}.load_wh,home{home}.generation_wh" for home in HOMES)])
    rows = [",".join([str(hour), *(f"{home[hour][0]},{home[hour][1]}" for home in columns)]) for hour in range(HOURS)]
    return "\n".join([header, *rows]) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: {sys.argv[0]} CityLearn-2.1.2-py3-none-any.whl > fontana-2016-2017.csv")
    sys.stdout.write(extract(Path(sys.argv[1])))
