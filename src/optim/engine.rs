//! What all optimizers share: groups, gradients, per-parameter state and PyTorch's layout of it.

use std::collections::HashSet;

use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor};

use super::rule::{Rule, Work};
use super::{GradScale, GroupOptions, Optimizer, ParamGroup};
use crate::error::{Error, Result};
use crate::native::{foreach, fused, grad};
use crate::registry::suggest;
use crate::tensor::{State, Stateful, guard};

/// An optimizer that follows a [`Rule`].
pub(super) struct Engine<R> {
    /// The options that a group has when it has none of its own.
    rule: R,
    groups: Vec<Group<R>>,
    options: Vec<GroupOptions>,
}

struct Group<R> {
    rule: R,
    params: Vec<(String, Tensor)>,
    /// What a fused call may not mix.
    places: Vec<(Kind, Device)>,
    /// Per parameter the tensors of [`Rule::slots`]; empty before its first gradient.
    state: Vec<Vec<Tensor>>,
}

impl<R: Rule> Engine<R> {
    pub(super) fn new(rule: &R, groups: Vec<ParamGroup>) -> Result<Self> {
        let mut names = HashSet::new();
        for (name, _) in groups.iter().flat_map(|group| &group.params) {
            if !names.insert(name.clone()) {
                return Err(Error::failed(format!("the parameter `{name}` is given to the optimizer twice")));
            }
        }
        let groups = groups.into_iter().map(|group| Group::new(rule, group)).collect::<Result<Vec<_>>>()?;
        let options = groups.iter().map(|group| group.rule.options()).collect();
        Ok(Engine { rule: rule.clone(), groups, options })
    }

    /// Unscales for a rule that does not, and says whether the step must be skipped. This reads one number back from
    /// the device.
    fn skips(&self, scale: &GradScale) -> Result<bool> {
        if let Some(factor) = scale.scale {
            let grads: Vec<Tensor> = self.grads().collect();
            foreach::div_tensor(&grads, factor)?;
        }
        Ok(scale.found_inf.f_double_value(&[])? != 0.0)
    }

    fn grads(&self) -> impl Iterator<Item = Tensor> {
        let params = self.groups.iter().flat_map(|group| &group.params);
        params.map(|(_, param)| param.grad()).filter(Tensor::defined)
    }
}

impl<R: Rule> Group<R> {
    fn new(rule: &R, group: ParamGroup) -> Result<Self> {
        let places = group.params.iter().map(|(_, param)| (param.kind(), param.device())).collect();
        let state = group.params.iter().map(|_| Vec::new()).collect();
        Ok(Group { rule: with_options(rule, group.options)?, params: group.params, places, state })
    }

    fn step(&mut self, scale: fused::Scale) -> Result<()> {
        let mut ready: Vec<(usize, Tensor, bool)> = Vec::with_capacity(self.params.len());
        let slots = self.rule.slots().len();
        for (i, (name, param)) in self.params.iter().enumerate() {
            let grad = param.grad();
            if !grad.defined() {
                continue;
            }
            if grad.is_sparse() {
                return Err(Error::failed(format!("{} cannot use the sparse gradient of `{name}`", R::NAME)));
            }
            let fresh = self.state[i].is_empty();
            if self.state[i].len() < slots {
                // All of it, or what an option that was switched on since then needs more.
                let have = self.state[i].len();
                self.state[i].extend(self.rule.fresh(param).drain(have..));
            }
            ready.push((i, grad, fresh));
        }
        // One call takes one dtype and device; nearly always that is all of them.
        while let Some(&(first, ..)) = ready.first() {
            let place = self.places[first];
            let (now, later): (Vec<_>, Vec<_>) = ready.into_iter().partition(|(i, ..)| self.places[*i] == place);
            ready = later;
            self.rule.update(Work {
                params: now.iter().map(|(i, ..)| &self.params[*i].1).collect(),
                state: now.iter().map(|(i, ..)| self.state[*i].as_slice()).collect(),
                fresh: now.iter().map(|(.., fresh)| *fresh).collect(),
                grads: now.into_iter().map(|(_, grad, _)| grad).collect(),
                scale,
            })?;
        }
        Ok(())
    }
}

/// The rule with a group's own options in place of the optimizer's.
fn with_options<R: Rule>(rule: &R, options: Vec<(String, Value)>) -> Result<R> {
    let mut own = to_map(rule)?;
    let mut scale = 1.0;
    for (name, value) in options {
        if name == "lr_scale" {
            scale = value.as_f64().unwrap_or(f64::NAN);
        } else if own.contains_key(&name) {
            own.insert(name, value);
        } else {
            let mut error = format!("{} has no option `{name}` for a group of parameters", R::NAME);
            if let Some(near) = suggest::nearest(&name, own.keys().map(String::as_str)) {
                error.push_str(&format!("; did you mean `{near}`?"));
            }
            return Err(Error::request(error));
        }
    }
    if scale.is_nan() || scale < 0.0 {
        return Err(Error::request("`lr_scale` of a group of parameters is a number of 0 or above"));
    }
    let mut rule = from_map::<R>(own)?;
    let mut changed = rule.options();
    changed.lr *= scale;
    rule.assign(&changed);
    rule.validate().map_err(|(name, message)| Error::request(format!("`{name}` of a group: {message}")))?;
    Ok(rule)
}

fn to_map<R: Rule>(rule: &R) -> Result<Map<String, Value>> {
    match serde_json::to_value(rule) {
        Ok(Value::Object(map)) => Ok(map),
        other => Err(Error::failed(format!("the options of {} are no mapping: {other:?}", R::NAME))),
    }
}

fn from_map<R: Rule>(map: Map<String, Value>) -> Result<R> {
    serde_json::from_value(Value::Object(map))
        .map_err(|error| Error::request(format!("an option of {} for a group of parameters: {error}", R::NAME)))
}

impl<R: Rule> Optimizer for Engine<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn step(&mut self, scale: Option<&GradScale>) -> Result<()> {
        tch::no_grad(|| {
            guard(|| {
                let mut given = fused::Scale::default();
                match scale {
                    Some(scale) if R::SCALES => {
                        given = fused::Scale { grad_scale: scale.scale, found_inf: Some(scale.found_inf) };
                    }
                    Some(scale) if self.skips(scale)? => return Ok(()),
                    _ => {}
                }
                for (group, options) in self.groups.iter_mut().zip(&self.options) {
                    group.rule.assign(options);
                    group.step(given)?;
                }
                Ok(())
            })
        })
    }

    fn zero_grad(&mut self) {
        for group in &self.groups {
            let params: Vec<&Tensor> = group.params.iter().map(|(_, param)| param).collect();
            // Dropping a gradient cannot fail for tensors that are there.
            let cleared = grad::clear(&params);
            debug_assert!(cleared.is_ok(), "{cleared:?}");
        }
    }

    fn groups(&self) -> &[GroupOptions] {
        &self.options
    }

    fn groups_mut(&mut self) -> &mut [GroupOptions] {
        &mut self.options
    }

    fn params(&self) -> Vec<&[(String, Tensor)]> {
        self.groups.iter().map(|group| group.params.as_slice()).collect()
    }

    fn add_group(&mut self, group: ParamGroup) -> Result<()> {
        let known: HashSet<&str> =
            self.groups.iter().flat_map(|group| &group.params).map(|(name, _)| name.as_str()).collect();
        if let Some((name, _)) = group.params.iter().find(|(name, _)| known.contains(name.as_str())) {
            return Err(Error::failed(format!("the parameter `{name}` is in the optimizer already")));
        }
        let group = Group::new(&self.rule, group)?;
        self.options.push(group.rule.options());
        self.groups.push(group);
        Ok(())
    }

    fn withdraw(&mut self, names: &HashSet<&str>) {
        for group in &mut self.groups {
            let stays: Vec<bool> = group.params.iter().map(|(name, _)| !names.contains(name.as_str())).collect();
            let mut keep = stays.iter();
            group.params.retain(|_| keep.next() == Some(&true));
            let mut keep = stays.iter();
            group.places.retain(|_| keep.next() == Some(&true));
            let mut keep = stays.iter();
            group.state.retain(|_| keep.next() == Some(&true));
        }
    }

    fn momentum_is_beta1(&self) -> bool {
        R::BETA1
    }
}

/// PyTorch's `Optimizer.state_dict()`: tensors `state.<index>.<name>`, parameters counted through all groups, and
/// `param_groups` with the options, `params` (the indices) and `param_names`.
impl<R: Rule> Stateful for Engine<R> {
    fn state(&self) -> State {
        let mut state = State::default();
        let mut groups = Vec::new();
        let mut index = 0;
        for (group, options) in self.groups.iter().zip(&self.options) {
            let mut rule = group.rule.clone();
            rule.assign(options);
            let mut entry = to_map(&rule).unwrap_or_default();
            if let Some(initial) = options.initial_lr {
                entry.insert("initial_lr".into(), initial.into());
            }
            entry.insert("params".into(), (index..index + group.params.len()).collect());
            entry.insert("param_names".into(), group.params.iter().map(|(name, _)| name.as_str()).collect());
            groups.push(Value::Object(entry));
            let slots = rule.slots();
            for tensors in &group.state {
                for (name, tensor) in slots.iter().zip(tensors) {
                    state.tensors.insert(format!("state.{index}.{name}"), tensor.shallow_clone());
                }
                index += 1;
            }
        }
        state.value = json!({ "param_groups": groups });
        state
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let wrong = |what: String| Error::failed(format!("the saved state does not fit this {}: {what}", R::NAME));
        let saved = state.value["param_groups"].as_array().ok_or_else(|| wrong("it has no `param_groups`".into()))?;
        if saved.len() != self.groups.len() {
            return Err(wrong(format!("it has {} groups of parameters, not {}", saved.len(), self.groups.len())));
        }
        let mut index = 0;
        for ((group, options), entry) in self.groups.iter_mut().zip(&mut self.options).zip(saved) {
            let count = entry["params"].as_array().map_or(0, Vec::len);
            if count != group.params.len() {
                return Err(wrong(format!("a group has {count} parameters, not {}", group.params.len())));
            }
            let names = entry["param_names"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap_or("?"));
            if let Some((other, (own, _))) = names.zip(&group.params).find(|(other, (own, _))| other != own) {
                return Err(wrong(format!("it has `{other}` where this one has `{own}`")));
            }
            let mut own = to_map(&group.rule)?;
            for (name, value) in &mut own {
                match &entry[name.as_str()] {
                    // An older PyTorch may lack an option; the optimizer's own stays.
                    Value::Null => {}
                    saved => *value = saved.clone(),
                }
            }
            group.rule = from_map(own)?;
            *options = group.rule.options();
            options.initial_lr = entry["initial_lr"].as_f64();
            let slots = group.rule.slots();
            for ((name, param), tensors) in group.params.iter().zip(&mut group.state) {
                let saved = slots.iter().map(|slot| state.tensors.get(&format!("state.{index}.{slot}")));
                let saved: Vec<Option<&Tensor>> = saved.collect();
                index += 1;
                if saved.iter().all(Option::is_none) {
                    tensors.clear();
                    continue;
                }
                let fresh = guard(|| Ok(tch::no_grad(|| group.rule.fresh(param))))?;
                for ((slot, to), from) in slots.iter().zip(&fresh).zip(saved) {
                    let from = from.ok_or_else(|| wrong(format!("`{slot}` of `{name}` is missing")))?;
                    if from.size() != to.size() {
                        let (from, to) = (from.size(), to.size());
                        return Err(wrong(format!("`{slot}` of `{name}` has the shape {from:?}, not {to:?}")));
                    }
                    tch::no_grad(|| to.shallow_clone().f_copy_(from))?;
                }
                *tensors = fresh;
            }
        }
        Ok(())
    }
}
