//! What stands under a figure: its files, its data and the line that draws it again.

use std::path::Path;

use super::Story;
use crate::analysis::config::Part;
use crate::error::Result;
use crate::files;
use crate::page::{Figure, Page};
use crate::provenance::command_line;
use crate::run::plan;
use crate::run::step::Step;

impl Story<'_> {
    /// Adds figures that nothing was said of, each behind the one that is drawn before it, and names what each is drawn from.
    pub(super) fn arrange(&self, page: &mut Page, steps: &[Step]) -> Result<()> {
        let mut end = 0;
        for step in steps {
            let Some(path) = step.written().find_map(figure_of) else { continue };
            if page.plain.iter().any(|plain| plain == path) {
                continue;
            }
            let at = page.figures.iter().position(|figure| figure.path == path);
            let at = match at {
                Some(at) => at,
                None => {
                    page.figures.insert(end, self.unsaid(path)?);
                    end
                }
            };
            end = at + 1;
            let ending = |written: &str| written.strip_prefix(path)?.strip_prefix('.').map(str::to_string);
            let figure = &mut page.figures[at];
            figure.endings = step.written().filter_map(ending).collect();
            figure.data = step.read().filter(|path| path.ends_with(".csv")).map(str::to_string).collect();
            // From the folder of the run: wherever it lies, the page is the same.
            figure.command = command_line(step.words(Path::new("")));
        }
        Ok(())
    }

    /// A figure with the words that it has for itself; one of what models were trained on stands aside, as others do.
    fn unsaid(&self, path: &str) -> Result<Figure> {
        let svg = files::read_text(&self.folder.join(format!("{path}.svg")))?;
        let caption = described(&svg);
        let over_train = path.ends_with(&format!("_{}", plan::part_name(Part::Train)));
        let aside = over_train && self.analysis.surfaces_over().len() > 1;
        Ok(Figure { aside, ..Figure::new(path.to_string(), svg, caption) })
    }
}

/// A figure's path without its ending.
fn figure_of(path: &str) -> Option<&str> {
    path.strip_suffix(".svg").filter(|path| path.starts_with("figures/"))
}

/// What a figure says of itself.
fn described(svg: &str) -> String {
    let desc = svg.split_once("<desc>").and_then(|(_, rest)| rest.split_once("</desc>"));
    let plain = |text: &str| {
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
        text.replace("&apos;", "'").replace("&amp;", "&")
    };
    desc.map_or(String::new(), |(text, _)| plain(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: XML's five entities by hand; a figure without a description has no caption.
    #[test]
    fn captions_are_the_figures_own() {
        assert_eq!(
            described("<svg><desc> a &lt; b &amp;amp; &quot;c&quot; </desc></svg>"),
            "a < b &amp; \"c\""
        );
        assert_eq!(described("<svg/>"), "");
    }
}
