"""Configurations in JSON files, which are not trusted."""

import json
import pathlib
import re
import sys
from collections.abc import Collection, Mapping
from typing import Any

_LARGEST = 1 << 22  # bytes
_MOST = 1 << 24  # of widths, blocks, pixels: no network has as many
# Fields of transformers' configurations that change no feature of an encoder.
_WITHOUT_EFFECT = re.compile(
    "_.*|architectures|model_type|transformers_version|(torch_)?dtype|id2label|label2id|num_labels"
    "|problem_type|finetuning_task|initializer_(range|factor)|.*dropout.*|drop_path_rate"
    "|out_features|out_indices|stage_names|reshape_hidden_states|apply_layernorm|output_.*"
    "|return_dict(_in_generate)?|use_cache|torchscript|tie_word_embeddings|use_mask_token|encoder_stride"
    "|gradient_checkpointing|attn_implementation"
    "|pooler_.*|decoder_.*|mask_ratio|norm_pix_loss|use_(return_dict|bfloat16)|.*loss.*"
    # Of the generation of texts, which older files hold for every network.
    "|(max|min)_length|temperature|top_[kp]|typical_p|num_beams|num_beam_groups|.*_penalty"
    "|num_return_sequences|(forced_)?(bos|eos|pad|sep)_token_id|tokenizer_class|prefix"
    "|(encoder_)?no_repeat_ngram_size|bad_words_ids|(begin_)?suppress_tokens|do_sample"
    "|early_stopping|remove_invalid_values|task_specific_params|chunk_size_feed_forward|xla_device"
)
# Fields of every old configuration of transformers: unset, they change nothing; set, much.
_UNSET = frozenset(
    {"is_decoder", "is_encoder_decoder", "add_cross_attention", "cross_attention_hidden_size"}
    | {"tie_encoder_decoder", "pruned_heads"}
)


def read_json(file: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON object from a file.

    Raises:
        ValueError: the file is missing, too large, no JSON or no object.
    """
    if not file.is_file():
        raise ValueError(f"{file.parent} has no {file.name}")
    if file.stat().st_size > _LARGEST:
        raise ValueError(
            f"{file} is larger than {_LARGEST >> 20} MiB, too large for a configuration"
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file} is not readable JSON: it is not in UTF-8 ({error.reason}); save it in UTF-8, "
            "or download it again"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{file} is not readable JSON settings: it holds a {type(content).__name__}"
        )
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names all differ."""
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"it says {name} twice; leave one of them")
        content[name] = value
    return content


def whole_number(configuration: Mapping[str, Any], name: str, where: str) -> int:
    """A field that is a whole number of at least 1, or a pair of two equal ones.

    Raises:
        ValueError: it is something else.
    """
    value = configuration.get(name)
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST:
        shown = f"{value!r:.40}"
        raise ValueError(
            f"{where}: {name} is {shown}; it must be a whole number from 1 to {_MOST} (squares "
            "alone can be read)"
        )
    return value


def positive_number(
    configuration: Mapping[str, Any], name: str, default: float, where: str
) -> float:
    """A field that is a positive number.

    Raises:
        ValueError: it is something else.
    """
    value = configuration.get(name)
    if value is None:
        return default
    if not is_number(value) or value <= 0:
        raise ValueError(f"{where}: {name} is {value!r:.40}; it must be a positive number")
    return float(value)


def is_number(value: Any) -> bool:
    """Whether a value of a JSON file is a finite number, also as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def refuse_unknown_fields(
    configuration: Mapping[str, Any], known: Collection[str], where: str
) -> None:
    """Raises a ValueError if a field is not known: it may change the features, even by a false.

    A field that is null says nothing.

    Args:
        configuration: the file's content.
        known: the fields that the reader takes into account.
        where: the file, for the message.
    """
    for name, value in configuration.items():
        if value is None or name in known or _WITHOUT_EFFECT.fullmatch(name):
            continue
        if value or name not in _UNSET:
            raise ValueError(
                f"{where}: the field {name} ({str(value)[:40]}) is not known here and may change "
                "the features; such a network cannot be read"
            )
