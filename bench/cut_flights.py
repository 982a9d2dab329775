"""Makes onlogit/data/flights.parquet from the full table: `python bench/cut_flights.py FULL.parquet OUT.parquet`.

All rows, in order, and all columns but `flight_id`. What makes it small is the encoding of each column, chosen by trying:
times as differences, slowly changing weather plainly (Zstandard finds the repeats), names through a dictionary.
"""

import argparse

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

DROPPED = ["flight_id"]
BY_DICTIONARY = ["carrier", "tailnum", "origin", "distance", "plane_year"]
BY_DIFFERENCES = {"sched_dep": "DELTA_BINARY_PACKED", "landed_at": "DELTA_BINARY_PACKED"}


def cut(full: pa.Table) -> pa.Table:
    """The columns that are shipped; times in milliseconds, the coarsest unit that Parquet has."""
    table = full.drop_columns(DROPPED)
    for at, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(at, field.name, table[field.name].cast(pa.timestamp("ms", "UTC")))
        elif pa.types.is_large_string(field.type):
            table = table.set_column(at, field.name, table[field.name].cast(pa.string()))
    return table.replace_schema_metadata(None)


def write(table: pa.Table, path: str) -> None:
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=22,
        use_dictionary=BY_DICTIONARY,
        column_encoding=BY_DIFFERENCES,
        store_schema=False,
        row_group_size=len(table),
        data_page_size=1 << 24,
        dictionary_pagesize_limit=1 << 24,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("full")
    parser.add_argument("out")
    told = parser.parse_args()
    write(cut(pq.read_table(told.full)), told.out)


if __name__ == "__main__":
    main()
