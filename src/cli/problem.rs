//! Errors as the user sees them: the sentence, the line of the file or the argument with a caret, the remedy.

use std::io::IsTerminal;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::config::{Origin, Problem, SourceKind};
use crate::error::Error;

/// Prints an error to standard error; gives the exit code that says the same.
pub fn report(error: &Error) -> i32 {
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    eprint!("{}", render(error, colours));
    error.exit_code()
}

/// The text of an error.
pub fn render(error: &Error, colours: bool) -> String {
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    match error {
        Error::Failed(failure) => {
            out += &renderer.render(&[titled(&failure.message, failure.help.as_deref())]);
            out.push('\n');
        }
        Error::Request(problems) => {
            for problem in &problems.0 {
                out += &render_problem(&renderer, problem);
                out.push('\n');
            }
            if problems.0.len() > 1 {
                out += &format!("\n{} problems, nothing was started\n", problems.0.len());
            }
        }
    }
    out
}

fn titled<'a>(message: &'a str, help: Option<&'a str>) -> Group<'a> {
    let group = Group::with_title(Level::ERROR.primary_title(message));
    match help {
        Some(help) => group.element(Level::HELP.message(help)),
        None => group,
    }
}

fn render_problem(renderer: &Renderer, problem: &Problem) -> String {
    let key = format!("key: {}", problem.path);
    let shown = problem.origin.as_ref().and_then(|origin| Some((origin, span(origin, problem.width)?)));
    let mut group = Group::with_title(Level::ERROR.primary_title(problem.message.as_str()));
    let place;
    if let Some((origin, span)) = shown {
        place = origin.source.kind.to_string();
        let mut annotation = AnnotationKind::Primary.span(span);
        if let Some(label) = &problem.label {
            annotation = annotation.label(label.as_str());
        }
        group = group.element(Snippet::source(origin.source.text.as_str()).path(place.as_str()).annotation(annotation));
    } else if let Some(label) = &problem.label {
        group = group.element(Level::HELP.message(label.as_str()));
    }
    if !problem.path.is_root() {
        group = group.element(Level::NOTE.no_name().message(key.as_str()));
    }
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

/// The bytes of the source that a place spans: `width` characters, or the word that starts there.
fn span(origin: &Origin, width: usize) -> Option<std::ops::Range<usize>> {
    let text = &origin.source.text;
    if text.is_empty() || origin.source.kind == SourceKind::Program {
        return None;
    }
    let line_start = match origin.line {
        0 | 1 => 0,
        n => text.match_indices('\n').nth(n as usize - 2)?.0 + 1,
    };
    let line = text[line_start..].lines().next().unwrap_or("");
    let skip = origin.column.saturating_sub(1) as usize;
    let start = line.char_indices().nth(skip).map_or(line.len(), |(i, _)| i);
    let rest = &line[start..];
    let length = match width {
        0 => rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}')).unwrap_or(rest.len()),
        n => rest.char_indices().nth(n).map_or(rest.len(), |(i, _)| i),
    };
    let start = line_start + start;
    Some(start..(start + length.max(1)).min(text.len().max(start + 1)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{KeyPath, Source};

    #[test]
    fn shows_the_line_the_caret_and_the_remedy() {
        let text = "model:\n  optimizer:\n    learning_rate: 1e-3\n".to_owned();
        let source = Arc::new(Source { kind: SourceKind::File("conf/a.yaml".into()), text });
        let problem = Problem::new("unknown argument `learning_rate` for torch.optim.Adam")
            .at(KeyPath::root().key("model").key("optimizer").key("learning_rate"))
            .from(&Origin { source, line: 3, column: 5, key: (0, 0) })
            .width(13)
            .label("did you mean `lr`?");
        let text = render(&Error::from(problem), false);
        let expected = "\
error: unknown argument `learning_rate` for torch.optim.Adam
 --> conf/a.yaml:3:5
  |
3 |     learning_rate: 1e-3
  |     ^^^^^^^^^^^^^ did you mean `lr`?
  |
  = key: model.optimizer.learning_rate
";
        assert_eq!(text, expected);
    }
}
