//! Containers with all that they hold resolved, as trees of their own.

use super::*;

/// Problems found on a walk, each once.
#[derive(Default)]
pub(super) struct Report {
    failures: Vec<Failure>,
    seen: HashSet<*const Problem>,
}

impl Report {
    pub(super) fn add(&mut self, failure: Failure, path: &KeyPath) {
        if self.seen.insert(Rc::as_ptr(&failure)) {
            let failure = if failure.path.is_root() { Rc::new((*failure).clone().at(path.clone())) } else { failure };
            self.seen.insert(Rc::as_ptr(&failure));
            self.failures.push(failure);
        }
    }

    pub(super) fn finish<T>(self, value: T) -> Result<T, Problems> {
        Problems(self.failures.iter().map(|failure| (**failure).clone()).collect()).or(value)
    }
}

impl<'a> Session<'a> {
    /// A result as a tree of its own; the first problem ends it.
    pub(crate) fn materialized(&self, value: &Resolved<'a>, origin: &Origin) -> Result<Node, Failure> {
        let mut report = Report::default();
        let node = self.materialize(value, origin, &mut report)?;
        match report.failures.into_iter().next() {
            Some(failure) => Err(failure),
            None => Ok(node),
        }
    }

    pub(super) fn materialize(
        &self,
        value: &Resolved<'a>,
        origin: &Origin,
        report: &mut Report,
    ) -> Result<Node, Failure> {
        match value {
            Resolved::Scalar(node) => Ok((*node).clone()),
            Resolved::Container(frame) => {
                self.inside_reference.set(self.inside_reference.get() + 1);
                let node = self.container(frame, report);
                self.inside_reference.set(self.inside_reference.get() - 1);
                node
            }
            Resolved::Plain(value) => Ok(Node { value: value.clone(), origin: origin.clone() }),
        }
    }

    /// A container with all that it holds, resolved. Failures of children are gathered; the container itself fails
    /// only when it is too deep, too large or part of itself.
    pub(super) fn container(&self, frame: &Rc<Frame<'a>>, report: &mut Report) -> Result<Node, Failure> {
        let node = frame.node;
        if self.inside_reference.get() > 0 && self.building.borrow().iter().any(|&other| std::ptr::eq(other, node)) {
            let problem = self.problem(format!("`{}` would contain itself", frame.path()), &node.origin);
            return Err(Rc::new(problem));
        }
        self.building.borrow_mut().push(node);
        let built = self.deeper(1, node, || {
            let value = match &node.value {
                Value::Map(map) => {
                    let mut out = Map::with_capacity(map.len());
                    for (key, child) in map {
                        let child = self.built(child, Place::Key(key), frame, report)?;
                        out.insert(key.clone(), child);
                    }
                    Value::Map(out)
                }
                Value::List(list) => {
                    let mut out = Vec::with_capacity(list.len());
                    for (i, child) in list.iter().enumerate() {
                        out.push(self.built(child, Place::Index(i), frame, report)?);
                    }
                    Value::List(out)
                }
                other => other.clone(),
            };
            Ok(Node { value, origin: node.origin.clone() })
        });
        self.building.borrow_mut().pop();
        built
    }

    pub(super) fn built(
        &self,
        child: &'a Node,
        key: Place<'a>,
        frame: &Rc<Frame<'a>>,
        report: &mut Report,
    ) -> Result<Node, Failure> {
        if self.inside_reference.get() > 0 {
            self.copies.set(self.copies.get() + 1);
            if self.copies.get() > MAX_COPIES {
                let message = format!("interpolations copy more than {MAX_COPIES} values");
                return Err(Rc::new(self.problem(message, &child.origin)));
            }
        }
        match &child.value {
            Value::Map(_) | Value::List(_) => {
                let frame = Rc::new(Frame { node: child, key, parent: Some(frame.clone()) });
                self.container(&frame, report)
            }
            Value::Str(text) if text.contains("${") => {
                let result = self
                    .interpolated(child, text, key, frame)
                    .and_then(|resolved| self.materialize(&resolved, &child.origin, report));
                match result {
                    Ok(node) => Ok(node),
                    // Inside a reference the failure belongs to whoever asked; elsewhere the walk goes on.
                    Err(failure) if self.inside_reference.get() > 0 || self.exhausted() => Err(failure),
                    Err(failure) => {
                        report.add(failure, &frame.child_path(key));
                        Ok(Node { value: Value::Null, origin: child.origin.clone() })
                    }
                }
            }
            _ => Ok(child.clone()),
        }
    }
}
