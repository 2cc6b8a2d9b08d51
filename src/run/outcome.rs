//! What a run says at its end: the verdict, the answers with their intervals, and where the page is; or the same as JSON.

use std::path::Path;

use serde_json::json;

use crate::page::Page;
use crate::progress::{self, say};

/// Says it: `ends` is the line on what was done.
pub fn tell(page: &Page, report: &Path, ends: &str) {
    progress::answer(|| document(page, report));
    lines(page).iter().for_each(|line| say!("{line}"));
    say!("{}: {ends}", report.display());
}

fn lines(page: &Page) -> Vec<String> {
    let mut lines = vec![page.verdict.clone(), page.facts.clone(), String::new()];
    for answer in &page.answers {
        lines.push(format!("{} {}", answer.question, answer.text));
        lines.extend(answer.drawn().into_iter().map(|line| format!("  {line}")));
    }
    if !page.expectation.is_empty() {
        lines.push(format!("Expected: {}", page.expectation.trim()));
    }
    lines.extend(page.warnings.iter().map(|warning| format!("Caution: {warning}")));
    lines.push(page.limits.clone());
    lines.extend(page.next.iter().map(|next| format!("Next: {next}")));
    lines.dedup_by(|a, b| a.is_empty() && b.is_empty());
    lines
}

fn document(page: &Page, report: &Path) -> serde_json::Value {
    json!({
        "title": page.title,
        "question": page.question,
        "verdict": page.verdict,
        "facts": page.facts,
        "answers": page.answers,
        "expectation": page.expectation,
        "next": page.next,
        "warnings": page.warnings,
        "limits": page.limits,
        "details": page.details,
        "excluded": page.excluded,
        "report": report.display().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::answer::{Answer, Compared};

    /// Oracle: by hand. The verdict comes first, what was expected behind the answers, and what to do next last; JSON has the same fields,
    /// and reads back. Nothing is said of an expectation or a next step that there is not.
    #[test]
    fn the_verdict_comes_first() {
        let difference = Compared {
            name: "a − b".into(),
            value: 0.0,
            low: -1.0,
            high: 1.0,
            text: "0 (−1 to +1)".into(),
            p_corrected: None,
            shown: false,
        };
        let answer = Answer { question: "Better?".into(), text: "No.".into(), differences: vec![difference] };
        let mut page = Page {
            verdict: "None.".into(),
            expectation: "Much.".into(),
            next: Some("More.".into()),
            answers: vec![answer],
            warnings: vec!["Few.".into()],
            limits: "One.".into(),
            ..Page::default()
        };
        let drawn = "  a − b  −1 |--------------o--------------| +1  0 (−1 to +1)";
        let wanted =
            ["None.", "", "Better? No.", drawn, "Expected: Much.", "Caution: Few.", "One.", "Next: More."];
        assert_eq!(lines(&page), wanted);
        let document = document(&page, Path::new("out/report.html"));
        assert_eq!(document["verdict"], "None.");
        assert_eq!(document["answers"][0]["differences"][0]["high"], 1.0);
        assert_eq!(document["report"], "out/report.html");
        assert_eq!([&document["expectation"], &document["next"]], ["Much.", "More."]);
        (page.expectation, page.next) = (String::new(), None);
        assert!(!lines(&page).iter().any(|line| line.starts_with("Expected") || line.starts_with("Next")));
    }
}
