"""Parquet as `datasets` of Hugging Face writes it: byte for byte what version 5.2.0 wrote of the same rows with pyarrow 26.0.1."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
_CHUNKING = {"min_chunk_size": 262144, "max_chunk_size": 1048576, "norm_level": 0}


def embedded(files: Sequence[bytes]) -> list[dict[str, object]]:
    """A column of images as embed_table_storage leaves it: the file, and the last part of its path."""
    return [{"bytes": file, "path": f"{index}.png"} for index, file in enumerate(files)]


def write_split(
    path: Path, columns: Mapping[str, Sequence[Any]], label_names: Mapping[str, Sequence[str]], image: str = "image"
) -> Path:
    """`Dataset.to_parquet` of images and ClassLabels."""
    features: dict[str, object] = {}
    fields = []
    for name in columns:
        if name == image:
            features[name] = {"_type": "Image"}
            fields.append(pa.field(name, IMAGE))
        else:
            features[name] = {"names": list(label_names[name]), "_type": "ClassLabel"}
            fields.append(pa.field(name, pa.int64()))
    schema = pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})
    leaves = [leaf for name in columns for leaf in ((f"{name}.bytes", f"{name}.path") if name == image else (name,))]
    writer = pq.ParquetWriter(
        path,
        schema,
        use_content_defined_chunking=_CHUNKING,
        write_page_index=True,
        compression={leaf: "none" if leaf.startswith(f"{image}.") else "snappy" for leaf in leaves},
        use_dictionary=[leaf for leaf in leaves if not leaf.startswith(f"{image}.")],
        column_encoding={leaf: "PLAIN" for leaf in leaves if leaf.startswith(f"{image}.")},
    )
    writer.write_table(pa.table(dict(columns), schema=schema))
    writer.add_key_value_metadata({"content_defined_chunking": json.dumps(_CHUNKING)})
    writer.close()
    return path
