//! What stands under a figure: its files, its data and the line that draws it again.

use std::path::Path;

use super::Story;
use crate::error::Result;
use crate::files;
use crate::page::{Figure, Page};
use crate::provenance::command_line;
use crate::run::step::Step;

impl Story<'_> {
    /// Adds figures that nothing was said of, and names what each is drawn from.
    pub(super) fn arrange(&self, page: &mut Page, steps: &[Step]) -> Result<()> {
        for step in steps {
            let Some(path) = step.written().find_map(figure_of) else { continue };
            if !page.figures.iter().any(|figure| figure.path == path) {
                let svg = files::read_text(&self.folder.join(format!("{path}.svg")))?;
                let caption = described(&svg);
                page.figures.push(Figure::new(path.to_string(), svg, caption));
            }
            let Some(figure) = page.figures.iter_mut().find(|figure| figure.path == path) else { continue };
            let ending = |written: &str| written.strip_prefix(path)?.strip_prefix('.').map(str::to_string);
            figure.endings = step.written().filter_map(ending).collect();
            figure.data = step.read().filter(|path| path.ends_with(".csv")).map(str::to_string).collect();
            // From the folder of the run: wherever it lies, the page is the same.
            figure.command = command_line(step.words(Path::new("")));
        }
        Ok(())
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
