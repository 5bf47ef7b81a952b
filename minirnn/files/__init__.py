"""Files that are there whole or not at all, and folders that one run at a time writes into."""

from minirnn.files.checkpoint import read_checkpoint, save_checkpoint
from minirnn.files.folder import alone_in
from minirnn.files.reserve import Reserve
from minirnn.files.safetensors_file import read_safetensors, write_safetensors
from minirnn.files.whole import remove_leftovers, replacing, write_whole

__all__ = [
    "Reserve",
    "alone_in",
    "read_checkpoint",
    "read_safetensors",
    "remove_leftovers",
    "replacing",
    "save_checkpoint",
    "write_safetensors",
    "write_whole",
]
