//! The components that come with runner.

use crate::registry::Registry;

impl Registry {
    /// Everything that comes with runner; a user's crate adds its own with [`Registry::with`].
    pub fn builtin() -> Self {
        let mut registry = Registry::new();
        registry.add::<crate::train::TrainerArgs>();
        crate::sweep::sweepers::register(&mut registry);
        crate::tasks::register(&mut registry);
        crate::nn::register(&mut registry);
        crate::losses::register(&mut registry);
        crate::optim::register(&mut registry);
        crate::metrics::register(&mut registry);
        crate::data::register(&mut registry);
        crate::callbacks::register(&mut registry);
        crate::loggers::register(&mut registry);
        registry
    }
}
