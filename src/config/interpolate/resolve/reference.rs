//! `${a.b}` and its kin: from the text of a reference to the node that it names.

use super::*;

impl<'a> Session<'a> {
    pub(super) fn reference(
        &self,
        reference: &Reference,
        holder: &Node,
        container: &Rc<Frame<'a>>,
    ) -> Result<Resolved<'a>, Failure> {
        let (found, text) = match reference.plain() {
            Some(steps) => {
                let start = match reference.dots {
                    0 => container.root(),
                    dots => self.climb(container, dots, holder, reference)?,
                };
                (self.walk(start, &steps, Missing::Fails)?, reference.text())
            }
            None => {
                let text = self.computed_path(reference, holder, container)?;
                (self.select(container, &text, Missing::Fails)?, text)
            }
        };
        let Some(found) = found else {
            return Err(Rc::new(self.not_found(&text, reference, holder, container)));
        };
        if let Resolved::Container(target) = &found {
            let mut around = Some(container);
            while let Some(frame) = around {
                if std::ptr::eq(frame.node, target.node) {
                    let message = format!("`${{{text}}}` refers to a node that contains it: it would contain itself");
                    return Err(Rc::new(self.problem(message, &holder.origin)));
                }
                around = frame.parent.as_ref();
            }
        }
        Ok(found)
    }

    pub(super) fn climb(
        &self,
        container: &Rc<Frame<'a>>,
        dots: usize,
        holder: &Node,
        reference: &Reference,
    ) -> Result<Rc<Frame<'a>>, Failure> {
        climb(container, dots).ok_or_else(|| {
            let message = format!("`${{{}}}` climbs above the root of the config", reference.text());
            let help = "one dot is the same level, each more dot one level up; a list is a level of its own";
            Rc::new(self.problem(message, &holder.origin).help(help))
        })
    }

    /// The text of a path with computed steps.
    pub(super) fn computed_path(
        &self,
        reference: &Reference,
        holder: &Node,
        container: &Rc<Frame<'a>>,
    ) -> Result<String, Failure> {
        let mut text = ".".repeat(reference.dots);
        for (i, step) in reference.steps.iter().enumerate() {
            let (name, bracket) = match step {
                Step::Name(name) => (name.clone(), false),
                Step::Computed { inner, bracket } => (self.computed_name(inner, holder, container)?, *bracket),
            };
            if bracket {
                text.push_str(&format!("[{name}]"));
            } else {
                if i > 0 {
                    text.push('.');
                }
                text.push_str(&name);
            }
        }
        Ok(text)
    }

    pub(super) fn computed_name(
        &self,
        inner: &Interpolation,
        holder: &Node,
        container: &Rc<Frame<'a>>,
    ) -> Result<String, Failure> {
        let value = self.evaluate(inner, holder, container)?;
        let value = match &value {
            Resolved::Scalar(node) => &node.value,
            Resolved::Plain(value) => value,
            Resolved::Container(frame) => &frame.node.value,
        };
        match value {
            Value::Str(text) => Ok(text.clone()),
            other => {
                let message =
                    format!("`{}` names a key, so it must be a string; it is {}", inner.text(), other.describe());
                Err(Rc::new(self.problem(message, &holder.origin).help("quote it where it is set")))
            }
        }
    }

    pub(super) fn not_found(
        &self,
        text: &str,
        reference: &Reference,
        holder: &Node,
        container: &Rc<Frame<'a>>,
    ) -> Problem {
        let problem = self.problem(format!("interpolation key `{text}` not found"), &holder.origin);
        if text == "hydra" || text.starts_with("hydra.") {
            let rest = text.strip_prefix("hydra.").unwrap_or("run.dir");
            return problem.help(format!("the hydra node is no part of a job's config: write `${{hydra:{rest}}}`"));
        }
        let start = match reference.dots {
            0 => Some(container.root()),
            dots => climb(container, dots),
        };
        let steps: Vec<&str> =
            text.trim_start_matches('.').split(['.', '[']).map(|s| s.trim_end_matches(']')).collect();
        match start.and_then(|start| crate::config::interpolate::nearest::nearest(start.node, &steps)) {
            Some(help) => problem.help(help),
            None => problem,
        }
    }

    pub(super) fn child(&self, frame: &Rc<Frame<'a>>, step: &str) -> Result<Option<Resolved<'a>>, Failure> {
        match &frame.node.value {
            Value::Map(map) => {
                if step == "hydra"
                    && matches!(frame.key, Place::FullRoot)
                    && let Some(hydra) = self.hydra
                {
                    return Ok(Some(Resolved::Container(Rc::new(Frame {
                        node: hydra,
                        key: Place::Hydra,
                        parent: Some(frame.clone()),
                    }))));
                }
                match map.get_key_value(step) {
                    Some((key, node)) => self.value(node, Place::Key(key), frame).map(Some),
                    None => Ok(None),
                }
            }
            Value::List(list) => match python_index(step) {
                None => {
                    let message = format!("`{}` is a list: `{step}` is no index", frame.path());
                    Err(Rc::new(self.problem(message, &frame.node.origin)))
                }
                Some(index) => match usize::try_from(index).ok().and_then(|i| list.get(i).map(|node| (i, node))) {
                    Some((i, node)) => self.value(node, Place::Index(i), frame).map(Some),
                    None => Ok(None),
                },
            },
            _ => Ok(None),
        }
    }
}
