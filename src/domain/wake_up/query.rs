//! What a reader wants of a wake-up.
//!
//! **Invariant:** every number has a bound.

use crate::domain::wake_up::{DEFAULT_MAX_TOKENS, DEFAULT_RECENT, MAX_MAX_TOKENS, MAX_RECENT};
use crate::domain::{Invalid, Name, page};

/// The layers of a wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Counts and names.
    Metadata,
    /// Conclusions.
    Reflection,
    /// The last handoffs.
    Recent,
    /// The older ones, shortened.
    Progressive,
}

impl Layer {
    /// Every layer.
    pub const ALL: [Self; 4] = [
        Self::Metadata,
        Self::Reflection,
        Self::Recent,
        Self::Progressive,
    ];

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Reflection => "reflection",
            Self::Recent => "recent",
            Self::Progressive => "progressive",
        }
    }

    fn parse(word: &str) -> Result<Self, Invalid> {
        let known = Self::ALL.into_iter().find(|layer| layer.as_str() == word);
        known.ok_or_else(|| {
            Invalid::new(
                "layers",
                "is not a comma list of metadata, reflection, recent, progressive",
            )
        })
    }
}

/// What a reader wants of a wake-up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WakeUpQuery {
    /// Handoffs with this person alone.
    pub with_whom: Option<Name>,
    /// Of this project, and of none.
    pub project: Option<Name>,
    /// Which layers to fill.
    pub layers: Vec<Layer>,
    /// Handoffs in *recent*.
    pub recent_count: u32,
    /// What *progressive* should be about; the newest if absent.
    pub topic: Option<String>,
    /// Most tokens of `context`.
    pub max_tokens: usize,
}

impl WakeUpQuery {
    /// Reads the query parameters. `layers` is a comma list of layer names; nothing means all.
    ///
    /// # Errors
    /// The first parameter that is wrong.
    pub fn parse(
        with_whom: Option<&str>,
        project: Option<&str>,
        layers: Option<&str>,
        recent_count: Option<i64>,
        topic: Option<String>,
        max_tokens: Option<i64>,
    ) -> Result<Self, Invalid> {
        let max_tokens =
            page::parse_limit("max_tokens", max_tokens, DEFAULT_MAX_TOKENS, MAX_MAX_TOKENS)?;
        Ok(Self {
            with_whom: Name::parse_opt("with_whom", with_whom)?,
            project: Name::parse_opt("project_id", project)?,
            layers: parse_layers(layers)?,
            recent_count: page::parse_limit(
                "recent_count",
                recent_count,
                DEFAULT_RECENT,
                MAX_RECENT,
            )?,
            topic: topic.filter(|topic| !topic.trim().is_empty()),
            max_tokens: usize::try_from(max_tokens).unwrap_or(usize::MAX),
        })
    }

    /// Whether a layer is asked for.
    pub(super) fn has(&self, layer: Layer) -> bool {
        self.layers.contains(&layer)
    }
}

fn parse_layers(text: Option<&str>) -> Result<Vec<Layer>, Invalid> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(Layer::ALL.to_vec());
    };
    text.split(',')
        .map(|word| Layer::parse(word.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_unknown_layers() {
        assert_eq!(
            parse_layers(Some("recent,dreams")).unwrap_err().field,
            "layers"
        );
        assert_eq!(
            parse_layers(Some("recent, metadata")).unwrap(),
            [Layer::Recent, Layer::Metadata]
        );
    }
}
