//! Where dropout acts in BERT, and which parameters feed each place (docs/definitions.md section 2).
//!
//! BERT with L layers has 1 + 3L dropout sites: the embeddings and, in each layer, the attention probabilities, the
//! attention output and the feed-forward output. A parameter belongs to the site it feeds; `intermediate.dense`
//! feeds none, and the pooler and the heads are the site `head`, which is never ranked.

use std::fmt;
use std::str::FromStr;

/// A dropout site of BERT, or one of the two groups of parameters that feed none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Site {
    /// Word, position and segment embeddings and their LayerNorm.
    Embeddings,
    /// Query, key and value of a layer (numbered from 0).
    AttentionProbs(usize),
    /// `attention.output` of a layer.
    AttentionOutput(usize),
    /// `intermediate` of a layer: no dropout site.
    Intermediate(usize),
    /// `output` of a layer.
    FfnOutput(usize),
    /// Pooler, classifier, masked-LM head: not one of the 1 + 3L sites.
    Head,
}

impl Site {
    /// The 1 + 3L dropout sites in model order.
    pub fn all(layers: usize) -> Vec<Site> {
        let layer = |k| [Site::AttentionProbs(k), Site::AttentionOutput(k), Site::FfnOutput(k)];
        std::iter::once(Site::Embeddings).chain((0..layers).flat_map(layer)).collect()
    }

    /// The site of a parameter, by its canonical name.
    pub fn of(parameter: &str) -> Site {
        let Some(name) = parameter.strip_prefix("bert.") else { return Site::Head };
        if name.starts_with("embeddings.") {
            return Site::Embeddings;
        }
        let layer = name.strip_prefix("encoder.layer.").and_then(|rest| rest.split_once('.'));
        let Some((Ok(k), rest)) = layer.map(|(k, rest)| (k.parse(), rest)) else { return Site::Head };
        match rest {
            _ if rest.starts_with("attention.self.") => Site::AttentionProbs(k),
            _ if rest.starts_with("attention.output.") => Site::AttentionOutput(k),
            _ if rest.starts_with("intermediate.") => Site::Intermediate(k),
            _ => Site::FfnOutput(k),
        }
    }

    /// The block that a parameter's site lies in: `embeddings`, `layer.K` or `head`.
    pub fn block(self) -> String {
        match self {
            Site::Embeddings => "embeddings".into(),
            Site::Head => "head".into(),
            Site::AttentionProbs(k)
            | Site::AttentionOutput(k)
            | Site::Intermediate(k)
            | Site::FfnOutput(k) => {
                format!("layer.{k}")
            }
        }
    }
}

/// `embeddings`, `layer.K.attention_probs`, `layer.K.attention_output`, `layer.K.ffn_output`; and the two that are
/// no dropout sites, `layer.K.intermediate` and `head`.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Site::Embeddings => write!(f, "embeddings"),
            Site::AttentionProbs(k) => write!(f, "layer.{k}.attention_probs"),
            Site::AttentionOutput(k) => write!(f, "layer.{k}.attention_output"),
            Site::Intermediate(k) => write!(f, "layer.{k}.intermediate"),
            Site::FfnOutput(k) => write!(f, "layer.{k}.ffn_output"),
            Site::Head => write!(f, "head"),
        }
    }
}

/// Reads the name of a dropout site; the error is the name itself.
impl FromStr for Site {
    type Err = String;

    fn from_str(name: &str) -> Result<Site, String> {
        if name == "embeddings" {
            return Ok(Site::Embeddings);
        }
        let layer = name.strip_prefix("layer.").and_then(|rest| rest.split_once('.'));
        match layer.map(|(k, place)| (k.parse::<usize>(), place)) {
            Some((Ok(k), "attention_probs")) => Ok(Site::AttentionProbs(k)),
            Some((Ok(k), "attention_output")) => Ok(Site::AttentionOutput(k)),
            Some((Ok(k), "ffn_output")) => Ok(Site::FfnOutput(k)),
            _ => Err(name.to_string()),
        }
    }
}
