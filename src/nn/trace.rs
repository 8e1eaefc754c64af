//! Watching a forward pass: every layer reports its output to the observer of this thread, if there is one.
//!
//! The model summary, FLOP counts, and the search for the first non-finite output all look through here. Without an
//! observer a report is one check of a thread-local flag.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Kind, Tensor};

/// What a layer is called and which kind it is.
#[derive(Debug)]
pub struct Label {
    /// Its dotted name: `layer1.0.conv1`; empty for a network that is one layer.
    pub name: String,
    /// PyTorch's class name: `Conv2d`.
    pub kind: &'static str,
    bypassed: AtomicBool,
    flattening: AtomicBool,
    averaging: AtomicBool,
}

impl Label {
    pub(super) fn new(name: &str, kind: &'static str) -> Self {
        Label {
            name: name.to_owned(),
            kind,
            bypassed: AtomicBool::new(false),
            flattening: AtomicBool::new(false),
            averaging: AtomicBool::new(false),
        }
    }

    /// Whether the layer flattens its input first, `[batch, …]` to `[batch, features]`.
    pub fn is_flattening(&self) -> bool {
        self.flattening.load(Ordering::Relaxed)
    }

    pub(super) fn flatten(&self) {
        self.flattening.store(true, Ordering::Relaxed);
    }

    /// Whether the layer passes its input on unchanged (see [`super::modify`]).
    pub fn is_bypassed(&self) -> bool {
        self.bypassed.load(Ordering::Relaxed)
    }

    /// Makes the layer pass its input on unchanged. Linear layers and convolutions know this.
    pub(super) fn bypass(&self) {
        self.bypassed.store(true, Ordering::Relaxed);
    }

    /// Whether running statistics are the plain mean over all batches since they were reset.
    pub(super) fn is_averaging(&self) -> bool {
        self.averaging.load(Ordering::Relaxed)
    }

    pub(super) fn set_averaging(&self, on: bool) {
        self.averaging.store(on, Ordering::Relaxed);
    }

    /// Tells the observer, if there is one, what the layer gave; `cost` is only asked then.
    pub(super) fn report(&self, input: &Tensor, output: &Tensor, cost: impl FnOnce() -> Cost) {
        if ACTIVE.get() {
            let Cost { parameters, flops } = cost();
            let event = Event { name: &self.name, kind: self.kind, leaf: true, input, output, parameters, flops };
            notify(&event);
        }
    }
}

/// What a layer has and does in one pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Elements of its parameters.
    pub parameters: u64,
    /// Floating-point operations of matrix products and convolutions: a multiply-add counts two, as in
    /// `torch.utils.flop_counter`.
    pub flops: u64,
}

impl Cost {
    /// Parameters only.
    pub fn of<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Self {
        Cost { parameters: tensors.into_iter().map(|t| t.numel() as u64).sum(), flops: 0 }
    }

    /// With operations.
    pub fn flops(self, flops: u64) -> Self {
        Cost { flops, ..self }
    }
}

/// One layer's report.
pub struct Event<'a> {
    /// The layer's dotted name.
    pub name: &'a str,
    /// PyTorch's class name.
    pub kind: &'static str,
    /// Whether it is a layer without layers in it; a container reports after its children.
    pub leaf: bool,
    /// What went in.
    pub input: &'a Tensor,
    /// What came out.
    pub output: &'a Tensor,
    /// Elements of its own parameters; 0 for a container.
    pub parameters: u64,
    /// Its own operations; 0 for a container. See [`Cost::flops`].
    pub flops: u64,
}

/// One layer's report without the tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The layer's dotted name.
    pub name: String,
    /// PyTorch's class name.
    pub kind: &'static str,
    /// Whether it is a layer without layers in it.
    pub leaf: bool,
    /// Shape of the input.
    pub input: Vec<i64>,
    /// Shape of the output.
    pub output: Vec<i64>,
    /// Elements of its own parameters.
    pub parameters: u64,
    /// Its own operations.
    pub flops: u64,
}

type Observer = Box<dyn FnMut(&Event)>;

thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

fn notify(event: &Event) {
    // Taken out while it runs: what an observer computes is not observed.
    let Some(mut observer) = OBSERVER.take() else { return };
    let active = ACTIVE.replace(false);
    observer(event);
    ACTIVE.set(active);
    OBSERVER.set(Some(observer));
}

/// Whether an observer is told what each layer gives.
pub(super) fn is_observed() -> bool {
    ACTIVE.get()
}

/// A container's report: a block or a named part of a network.
pub(super) fn container(name: &str, kind: &'static str, input: &Tensor, output: &Tensor) {
    if ACTIVE.get() {
        notify(&Event { name, kind, leaf: false, input, output, parameters: 0, flops: 0 });
    }
}

/// Runs `work` with `observer` told of every layer's output on this thread.
pub fn observe<T>(observer: impl FnMut(&Event) + 'static, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Observer>, bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            OBSERVER.set(self.0.take());
            ACTIVE.set(self.1);
        }
    }
    let _restore = Restore(OBSERVER.replace(Some(Box::new(observer))), ACTIVE.replace(true));
    work()
}

/// Runs `work` and lists what every layer did, in the order of their ends.
pub fn record<T>(work: impl FnOnce() -> T) -> (T, Vec<Record>) {
    let records = std::rc::Rc::new(RefCell::new(Vec::new()));
    let sink = records.clone();
    let observer = move |event: &Event| {
        sink.borrow_mut().push(Record {
            name: event.name.to_owned(),
            kind: event.kind,
            leaf: event.leaf,
            input: event.input.size(),
            output: event.output.size(),
            parameters: event.parameters,
            flops: event.flops,
        });
    };
    let result = observe(observer, work);
    (result, records.take())
}

/// Runs `work` and names the first layer whose output holds a NaN or an infinity.
pub fn first_non_finite<T>(work: impl FnOnce() -> T) -> (T, Option<String>) {
    let found = std::rc::Rc::new(RefCell::new(None));
    let sink = found.clone();
    let observer = move |event: &Event| {
        let mut found = sink.borrow_mut();
        if found.is_none() && has_non_finite(event.output) {
            let name = if event.name.is_empty() { "the network" } else { event.name };
            *found = Some(format!("{name} ({})", event.kind));
        }
    };
    let result = observe(observer, work);
    (result, found.take())
}

fn has_non_finite(tensor: &Tensor) -> bool {
    tensor.is_floating_point()
        && !tch::no_grad(|| tensor.isfinite().all().to_kind(Kind::Int64)).f_int64_value(&[]).is_ok_and(|all| all == 1)
}
