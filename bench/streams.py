"""The real streams that stand beside a checkout of the project, and how each is to be read: label, positive value, drops.

They are not part of the project. Where they are absent, tests and benchmarks that need them skip and say so.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

FOLDER = Path(__file__).parents[2] / "shared" / "data"
ABSENT = "the real streams are not beside this checkout (../shared/data)"


class RealStream(NamedTuple):
    """A Parquet file in stream order."""

    name: str
    label: str
    positive: str | None = None
    drop: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.parquet"

    @property
    def roles(self) -> dict[str, Any]:
        """What `OnlineLogit` wants to know of it."""
        return {"label": self.label, "positive": self.positive, "drop": list(self.drop)}


STREAMS = {
    s.name: s
    for s in (
        RealStream("elec2", "class", "UP", ("date",)),
        RealStream("noaa_weather", "target"),
        RealStream("weather_aus", "RainTomorrow", "Yes", ("RISK_MM", "Date")),
        RealStream(
            "hotel_bookings",
            "is_canceled",
            drop=(
                "reservation_status",
                "reservation_status_date",
                "assigned_room_type",
                "booking_changes",
                "arrival_date",
                "booking_date",
                "days_in_waiting_list",
                "required_car_parking_spaces",
                "arrival_date_year",
                "deposit_type",
            ),
        ),
        RealStream("bank_marketing", "y", "yes", ("duration",)),
        RealStream("jit_defects", "bug", drop=("date", "_id")),
        RealStream("kdd_http", "service"),
        RealStream("flights", "late", drop=("flight_id", "landed_at", "sched_dep")),
        RealStream("flights_3m", "late15", drop=("date", "delay")),
    )
}


def with_departure(bookings: pa.Table) -> pa.Table:
    """hotel_bookings with the day on which the guest is to leave: by then it is sure whether the booking was cancelled."""
    nights = pc.add(bookings["stays_in_weekend_nights"], bookings["stays_in_week_nights"])
    days = pc.multiply(nights, 86_400_000_000).cast(pa.duration("us"))
    return bookings.append_column("departure", pc.add(bookings["arrival_date"], days))
