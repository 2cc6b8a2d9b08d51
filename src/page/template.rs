//! Pages from templates: what is put in is escaped.

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment};

use crate::error::{Error, Result};

/// The template `text`, called `name`, filled in.
pub(crate) fn filled(name: &str, text: &str, context: Value) -> Result<String> {
    let defect = |e: minijinja::Error| {
        Error::field(name, "page", "possible", format!("{e:#}"), "report this as a defect")
    };
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.render_named_str(name, text, context).map_err(defect)
}
