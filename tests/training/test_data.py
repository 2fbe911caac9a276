"""From files to rows: documents, shards, packing, order."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import GroundupError
from groundup.training import corpus
from groundup.training.corpus import cut, find_documents, hold_out, read_piece
from groundup.training.data_order import shuffled
from groundup.training.gradient_accumulation import IGNORED
from groundup.training.html_text import html_text
from groundup.training.man_page import man_text
from groundup.training.packing import pack
from groundup.training.rows import PackedRows, StreamRows
from groundup.training.token_shards import TokenShards, write_token_shards
