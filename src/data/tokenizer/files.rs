//! A tokenizer's files: `tokenizer.json`, or a vocabulary and what stands beside it.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::decoders::wordpiece::WordPiece as Decoder;
use tokenizers::models::bpe::BPE;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, ModelWrapper, NormalizerWrapper, Tokenizer};

use super::special::{self, BERT, ROBERTA};
use super::{added, charsmap, growth};
use crate::error::{Error, Result};
use crate::files;
use crate::hub::SENTENCE_PIECE;

/// Classes of transformers whose `vocab.txt` is read as BERT's.
const WORD_PIECE: [&str; 6] = ["Bert", "DistilBert", "Electra", "MobileBert", "ConvBert", "SqueezeBert"];

/// Those whose `vocab.json` and `merges.txt` are read as GPT-2's or RoBERTa's.
const BYTE_LEVEL: [&str; 4] = ["GPT2", "Roberta", "Longformer", "Bart"];

/// Those that take words apart before any file here says how.
const OTHERS: [&str; 2] = ["BertJapanese", "Bertweet"];

/// The tokenizer of a folder, with the post-processor that its kind has and the tokens that were added to it.
pub fn read(folder: &Path, assumed_lower_case: &mut bool) -> Result<Tokenizer> {
    let [json, vocab, pairs, merges, config] =
        ["tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer_config.json"]
            .map(|name| folder.join(name));
    let options = special::options(&config)?;
    let class = options.get("tokenizer_class").and_then(Value::as_str).map(family);
    let refused = |class: &str, known: &[&str]| {
        let expected = format!("a class that is read here, such as {}Tokenizer", known.join("Tokenizer, "));
        let fix = "save the tokenizer as a tokenizer.json (AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER)), or use \
                   another checkpoint";
        Error::field(config.display(), "tokenizer_class", expected, format!("{class}Tokenizer"), fix)
    };
    let known = |known: &[&str]| match class {
        Some(class) if !known.contains(&class) && class != "PreTrained" => Err(refused(class, known)),
        _ => Ok(()),
    };
    let mut tokenizer = if files::exists(&json) {
        if let Some(class) = class.filter(|class| OTHERS.contains(class)) {
            return Err(refused(class, &WORD_PIECE));
        }
        from_json(&json, &options, class)?
    } else if files::exists(&vocab) {
        known(&WORD_PIECE)?;
        word_piece(&vocab, &config, assumed_lower_case)?
    } else if files::exists(&pairs) && files::exists(&merges) {
        known(&BYTE_LEVEL)?;
        byte_level(&pairs, &merges, &config, class)?
    } else {
        return Err(none(folder));
    };
    added::add(&mut tokenizer, folder, &options)?;
    Ok(tokenizer)
}

/// A folder without files that are read here; those of SentencePiece are named.
fn none(folder: &Path) -> Error {
    let expected = "tokenizer.json, vocab.txt, or vocab.json and merges.txt";
    let (found, fix) = match SENTENCE_PIECE.into_iter().find(|name| files::exists(&folder.join(name))) {
        Some(name) => (
            format!("only SentencePiece's {name}"),
            "save the tokenizer as a tokenizer.json: AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER)",
        ),
        None => (
            "none of them".to_string(),
            "copy the tokenizer files of the model into this folder, or name another by --tokenizer",
        ),
    };
    Error::field(folder.display(), "tokenizer", expected, found, fix)
}

/// `Bert` of `BertTokenizerFast`.
fn family(class: &str) -> &str {
    class.split_once("Tokenizer").map_or(class, |(family, _)| family)
}

/// As the file says; a class of BERT's kind applies the options of `tokenizer_config.json` to it, as transformers does.
fn from_json(json: &Path, options: &Map<String, Value>, class: Option<&str>) -> Result<Tokenizer> {
    let bytes = files::read(json)?;
    charsmap::check(json, &bytes)?;
    growth::check(json, &bytes)?;
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|e| {
        Error::field(json.display(), "tokenizer", "a tokenizers JSON file", e, "fetch the file again")
    })?;
    // The file of a WordPiece tokenizer may leave out what BERT adds.
    let word_piece = matches!(tokenizer.get_model(), ModelWrapper::WordPiece(_));
    if word_piece && tokenizer.get_post_processor().is_none() {
        as_bert(&mut tokenizer);
    }
    let own = class.is_some_and(|class| WORD_PIECE.contains(&class));
    if let (true, Some(NormalizerWrapper::BertNormalizer(normalizer))) = (own, tokenizer.get_normalizer()) {
        let mut normalizer = *normalizer;
        let flag = |key: &str| options.get(key).and_then(Value::as_bool);
        normalizer.lowercase = flag("do_lower_case").unwrap_or(normalizer.lowercase);
        normalizer.strip_accents = flag("strip_accents").or(normalizer.strip_accents);
        normalizer.handle_chinese_chars =
            flag("tokenize_chinese_chars").unwrap_or(normalizer.handle_chinese_chars);
        tokenizer
            .with_normalizer(Some(normalizer))
            .map_err(|e| Error::field(json.display(), "normalizer", "BERT's", e, "fetch the file again"))?;
    }
    Ok(tokenizer)
}

/// `[CLS] A [SEP] B [SEP]`, where the vocabulary has these tokens.
fn as_bert(tokenizer: &mut Tokenizer) {
    let id = |token: &str| Some((token.to_string(), tokenizer.token_to_id(token)?));
    if let (Some(sep), Some(cls)) = (id("[SEP]"), id("[CLS]")) {
        tokenizer.with_post_processor(Some(BertProcessing::new(sep, cls)));
    }
}

/// Byte-level pairs (GPT-2, RoBERTa) from `vocab.json` and `merges.txt`. A vocabulary with RoBERTa's tokens gets them around
/// its texts, unless its class is GPT-2's; another none.
fn byte_level(vocab: &Path, merges: &Path, config: &Path, class: Option<&str>) -> Result<Tokenizer> {
    let refused = |path: &Path, e: tokenizers::Error| {
        Error::field(path.display(), "vocabulary", "that of a byte-level BPE", e, "fetch the file again")
    };
    let options = special::options(config)?;
    let flag = |key: &str| options.get(key).and_then(Value::as_bool).unwrap_or(false);
    let pieces: Value =
        serde_json::from_str(&files::read_text(vocab)?).map_err(|e| refused(vocab, e.into()))?;
    let text = files::read_text(merges)?;
    let rules: Vec<&str> =
        text.lines().filter(|line| !line.is_empty() && !line.starts_with("#version")).collect();
    // The builder's map is of a crate that is not ours; the serialized form is the same model.
    let model = serde_json::json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "vocab": pieces, "merges": rules,
    });
    let model: BPE = serde_json::from_str(&model.to_string()).map_err(|e| refused(merges, e.into()))?;
    let mut tokenizer = Tokenizer::new(model);
    let bytes = ByteLevel::new(flag("add_prefix_space"), true, true);
    tokenizer.with_pre_tokenizer(Some(bytes)).with_decoder(Some(bytes));
    let id = |token: &str| Some((token.to_string(), tokenizer.token_to_id(token)?));
    match (id("</s>"), id("<s>"), id("<mask>")) {
        (Some(sep), Some(cls), Some(_)) if class != Some("GPT2") => {
            let own = RobertaProcessing::new(sep, cls).add_prefix_space(flag("add_prefix_space"));
            tokenizer.with_post_processor(Some(own));
        }
        _ => {
            tokenizer.with_post_processor(Some(bytes.trim_offsets(false)));
        }
    }
    let known = ROBERTA.into_iter().chain(["<|endoftext|>"]);
    let known = known.filter(|token| tokenizer.token_to_id(token).is_some());
    // Whether a mask takes the space before it, the file says.
    let strips = options.get("mask_token").and_then(|mask| mask.get("lstrip")?.as_bool()) == Some(true);
    let added: Vec<AddedToken> =
        known.map(|token| AddedToken::from(token, true).lstrip(strips && token == "<mask>")).collect();
    tokenizer.add_special_tokens(added).map_err(|e| refused(vocab, e))?;
    Ok(tokenizer)
}

/// WordPiece with the vocabulary `vocab`, a token a line, as BERT uses it. `assumed` is set where nothing says whether the model
/// lower-cases, and it is taken to.
pub fn word_piece(vocab: &Path, config: &Path, assumed: &mut bool) -> Result<Tokenizer> {
    let options = special::options(config)?;
    let flag = |key: &str| options.get(key).and_then(Value::as_bool);
    let refused = |e: tokenizers::Error| {
        Error::field(vocab.display(), "vocabulary", "a WordPiece vocabulary", e, "fetch the file again")
    };
    let text = files::read_text(vocab)?;
    let pieces: HashMap<&str, usize> = text.lines().map(str::trim_end).zip(0..).collect();
    // The builder's map is of a crate that is not ours; the serialized form is the same model.
    let model = serde_json::json!({
        "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": pieces,
    });
    let model: WordPiece = serde_json::from_str(&model.to_string()).map_err(|e| refused(e.into()))?;
    let mut tokenizer = Tokenizer::new(model);
    *assumed = flag("do_lower_case").is_none();
    let lower = flag("do_lower_case").unwrap_or(true);
    let chinese = flag("tokenize_chinese_chars").unwrap_or(true);
    let normalizer = BertNormalizer::new(true, chinese, flag("strip_accents"), lower);
    tokenizer.with_normalizer(Some(normalizer)).map_err(refused)?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer)).with_decoder(Some(Decoder::default()));
    // Only tokens that the vocabulary has: adding another would give it an id beyond the embedding table.
    let known = BERT.into_iter().filter(|token| tokenizer.token_to_id(token).is_some());
    let special: Vec<AddedToken> = known.map(|token| AddedToken::from(token, true)).collect();
    tokenizer.add_special_tokens(special).map_err(refused)?;
    as_bert(&mut tokenizer);
    Ok(tokenizer)
}
