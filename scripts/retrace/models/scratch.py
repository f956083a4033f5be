"""Small models from scratch: a tokenizer made from the task's own texts, and newly initialized networks.

The tokenizer is lossless on known characters: every token stands for one fixed text, and decoding joins them. Numbers,
operators and brackets are separate tokens, the same with or without a space before them, so a tiny model has to learn
each number only once. The delimiter's token includes the spaces around it.
"""

import re
from collections import Counter
from collections.abc import Iterable
from math import log

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration
from transformers.modeling_utils import PreTrainedModel

from retrace.errors import UserError
from retrace.models.options import ScratchModel

PAD, END, UNKNOWN, CLS, SEP = "<pad>", "</s>", "<unk>", "[CLS]", "[SEP]"
ANSWER_MARKER = "####"
SPACE = "▁"
_WHOLE = r"(?<!\d)\d{1,2}(?!\d)|\d"  # 7 and 42 stay whole; 100 and 2023 are split into digits
_DIGIT = r"\d"
_SYMBOL = r"[^\w\s]|_|\n"


def build_tokenizer(
    texts: Iterable[str], delimiter: str, vocabulary: int, numbers: str = "digits", family: str = "encoder_decoder"
) -> PreTrainedTokenizerFast:
    """A tokenizer for the given texts.

    Characters that are neither ASCII nor in `texts` become the unknown token.

    Args:
        texts: Questions and worked solutions.
        delimiter: The task's step delimiter, which becomes one token.
        vocabulary: Maximum number of tokens. All printable ASCII characters are included, so at least about 250.
        numbers: `whole` (one token each for 0 to 99, longer numbers digit by digit) or `digits`.
        family: The tokenizer adds </s> for an encoder-decoder, but not for a decoder-only model.
    """
    number = _WHOLE if numbers == "whole" else _DIGIT
    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(f"{number}|{_SYMBOL}"), behavior="isolated"),
            pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never", split=True),
        ]
    )
    specials = [PAD, END, UNKNOWN, CLS, SEP]
    # Tokens that stand for more than their letters: the text that decoding writes, including spaces.
    atoms = {
        delimiter: AddedToken(delimiter, lstrip=True, rstrip=True, normalized=False),
        ANSWER_MARKER: AddedToken(ANSWER_MARKER, rstrip=True, normalized=False),
        "Q:": AddedToken("Q:", rstrip=True, single_word=True, normalized=False),
        "A:": AddedToken("A:", lstrip=True, rstrip=True, single_word=True, normalized=False),
        "<<": AddedToken("<<", normalized=False),
        ">>": AddedToken(">>", normalized=False),
    }
    written = {delimiter: f" {delimiter} ", ANSWER_MARKER: f"{ANSWER_MARKER} ", "Q:": "Q: ", "A:": " A: "}
    fixed = [chr(code) for code in range(33, 127)] + [SPACE]
    if numbers == "whole":
        fixed += [str(value) for value in range(10, 100)]

    pieces, characters = _learn_pieces(texts, splitter, list(atoms), vocabulary)
    fixed += sorted(characters - set(fixed))
    taken = {*specials, *atoms}
    fixed = [piece for piece in fixed if piece not in taken]
    room = vocabulary - len(taken) - len(fixed)
    if room < 0:
        raise UserError(
            f"vocabulary {vocabulary} is too small: characters and numbers alone need {len(taken) + len(fixed)} tokens; "
            "raise scratch.vocabulary in the model's YAML"
        )
    known = {*fixed, *taken}
    useful = sorted((piece for piece in pieces if piece not in known), key=lambda piece: (-pieces[piece], piece))[:room]

    # A unigram model over the selected pieces prefers few pieces to many, and whole words to letters. Fixed pieces score
    # below every learned piece, so letters are the last resort and numbers (isolated) are always whole.
    total = sum(pieces[piece] for piece in useful) or 1
    scores = [(token, 0.0) for token in specials]
    scores += [(piece, log(max(pieces[piece], 1) / total)) for piece in useful]
    floor = min((score for _, score in scores), default=0.0) - 5.0
    scores += [(piece, floor) for piece in fixed]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=specials.index(UNKNOWN), byte_fallback=False))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.Sequence(
        [*(decoders.Replace(atom, text) for atom, text in written.items()), decoders.Replace(SPACE, " ")]
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in specials])
    tokenizer.add_tokens(list(atoms.values()))
    return _fast(tokenizer, family)


def build_word_tokenizer(words: Iterable[str], family: str = "encoder_decoder") -> PreTrainedTokenizerFast:
    """A tokenizer whose only tokens are these words. Other words become the unknown token.

    Texts must have spaces between all words, like the digits and signs of a multiplication.
    """
    specials = [PAD, END, UNKNOWN, CLS, SEP]
    tokens = dict.fromkeys([*specials, *words])
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in specials])
    return _fast(tokenizer, family)


def _fast(tokenizer: Tokenizer, family: str) -> PreTrainedTokenizerFast:
    if family == "encoder_decoder":
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {END}", special_tokens=[(END, tokenizer.token_to_id(END))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        cls_token=CLS,
        sep_token=SEP,
        clean_up_tokenization_spaces=False,
    )


def _learn_pieces(
    texts: Iterable[str], splitter: pre_tokenizers.PreTokenizer, atoms: list[str], vocabulary: int
) -> tuple[Counter[str], set[str]]:
    """Pieces of words with the number of their uses in the texts, and the set of all characters.

    Pieces are found by byte-pair merging and then counted as used, so intermediate merges that no text needs take no
    space in the vocabulary.
    """
    cutter = re.compile("|".join(re.escape(atom) for atom in sorted(atoms, key=len, reverse=True)))
    words: Counter[str] = Counter()
    chunks = Counter(chunk for text in texts for chunk in cutter.split(text) if chunk.strip())
    if not chunks:
        raise UserError("no text to make a tokenizer from; check the training split")
    for chunk, count in chunks.items():
        for word, _ in splitter.pre_tokenize_str(chunk):
            words[word] += count
    characters = {character for word in words for character in word}
    merger = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=4 * vocabulary, min_frequency=2, show_progress=False)
    # The trainer counts words itself; repeating them logarithmically keeps the order of frequencies at little cost.
    merger.train_from_iterator((word for word, count in words.items() for _ in range(min(count, 50))), trainer=trainer)
    used: Counter[str] = Counter()
    for word, count in words.items():
        for piece in merger.encode(word).tokens:
            used[piece] += count
    return used, characters


def build_model(scratch: ScratchModel, family: str, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """A newly initialized generator: T5 (encoder_decoder) or GPT-2 (decoder_only).

    The same seed gives the same weights; the caller's random state is unchanged.
    """
    if scratch.width % scratch.heads:
        raise UserError(f"scratch: width {scratch.width} is not a multiple of heads {scratch.heads}")
    if family == "encoder_decoder" and scratch.initial_spread is not None:
        raise UserError("scratch: initial_spread is for decoder-only models; leave it out, T5 has a rule of its own")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "encoder_decoder":
            return T5ForConditionalGeneration(_t5_config(scratch, tokenizer))
        config = GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=scratch.positions,
            n_embd=scratch.width,
            n_layer=scratch.layers,
            n_head=scratch.heads,
            n_inner=scratch.feedforward,
            resid_pdrop=scratch.dropout,
            embd_pdrop=scratch.dropout,
            attn_pdrop=scratch.dropout,
            initializer_range=0.02 if scratch.initial_spread is None else scratch.initial_spread,
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        return GPT2LMHeadModel(config)


def _t5_config(scratch: ScratchModel, tokenizer: PreTrainedTokenizerFast) -> T5Config:
    return T5Config(
        vocab_size=len(tokenizer),
        d_model=scratch.width,
        d_kv=scratch.width // scratch.heads,
        d_ff=scratch.feedforward,
        num_layers=scratch.layers,
        num_decoder_layers=scratch.layers,
        num_heads=scratch.heads,
        dropout_rate=scratch.dropout,
        feed_forward_proj=scratch.activation,
        tie_word_embeddings=True,
        n_positions=scratch.positions,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
