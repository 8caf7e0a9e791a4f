"""Parquet files, read a batch of rows at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainingjob.datafile import bad_data
from trainingjob.tabular.data.cells import CHUNK_ROWS, Cells, Chunk


@contextmanager
def parquet_cells(path: Path, source: str) -> Iterator[Cells]:
    """Opens a file. Raises TrainingError with exit code 3, which may come as late as a chunk is taken."""
    try:
        with pq.ParquetFile(path) as file:
            # As of the other files: what is held out is written as CSV, and read back by the same names.
            names = [name.strip() for name in file.schema_arrow.names]
            yield Cells(names, _chunks(file, names, source), "row", file.metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise bad_data(
            f"{source} cannot be read as Parquet: {str(error).splitlines()[0]}; write the file again"
        ) from error


def _chunks(file: Any, names: list[str], source: str) -> Iterator[Chunk]:
    done = 0
    for batch in file.iter_batches(batch_size=CHUNK_ROWS):

        def column(index: int, batch: Any = batch) -> Any:
            return _cells(batch.column(index), names[index], source)

        yield Chunk(column, range(done + 1, done + 1 + batch.num_rows))
        done += batch.num_rows


def _cells(column: Any, name: str, source: str) -> Any:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_boolean(kind) and column.null_count == 0:
        return column.to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(kind):
        return [_truth(value) for value in column.to_pylist()]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        try:
            # What is finer is cut; what is beyond all years would otherwise become another date.
            moments = pc.cast(column, options=pc.CastOptions(target_type=pa.timestamp("us"), allow_time_truncate=True))
        except pa.ArrowInvalid as error:
            raise bad_data(
                f'{source}: column "{name}" holds a moment outside the years 1 to 9999 ({error}); correct it, or leave the column out of '
                "features"
            ) from error
        return moments.to_numpy(zero_copy_only=False).astype("datetime64[us]")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return ["" if value is None else value for value in column.to_pylist()]
    raise bad_data(
        f'{source}: column "{name}" holds {kind}; numbers, texts, truth values and dates can be used, so leave it out of features'
    )


def _truth(value: Any) -> str:
    return "" if value is None else str(np.bool_(value)).lower()
