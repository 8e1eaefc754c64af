//! How a metric's arguments become a component.

use crate::registry::Check;

use super::store::Definition;

/// A metric's arguments.
pub(super) trait Arguments: Sized {
    /// The definition that they choose.
    type Definition: Definition + 'static;

    /// Reports what the types cannot say.
    fn validate(&self, _: &mut Check) {}

    /// The definition. Called only after [`Arguments::validate`] found nothing.
    fn define(self) -> Self::Definition;
}

/// Argument structs of metrics: with the arguments that every torchmetrics metric takes, and registered names.
macro_rules! metrics {
    ($(
        $(#[$doc:meta])*
        $name:ident [$($target:literal),+ $(,)?] {
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
        }
    )+) => {$(
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* $field: $type,)*
            /// Inputs are always checked.
            #[serde(default)]
            #[allow(dead_code, reason = "accepted for configs of torchmetrics")]
            validate_args: crate::registry::Ignored,
            /// State stays on the device of the batches.
            #[serde(default)]
            #[allow(dead_code, reason = "accepted for configs of torchmetrics")]
            compute_on_cpu: crate::registry::Ignored,
            /// Values are combined across processes when they are computed.
            #[serde(default)]
            #[allow(dead_code, reason = "accepted for configs of torchmetrics")]
            dist_sync_on_step: crate::registry::Ignored,
            /// Values are combined across processes when they are computed.
            #[serde(default)]
            #[allow(dead_code, reason = "accepted for configs of torchmetrics")]
            sync_on_compute: crate::registry::Ignored,
        }

        impl crate::registry::Component for $name {
            type Kind = crate::metrics::MetricKind;
            const TARGETS: &'static [&'static str] = &[$($target),+];
            fn check(&self, cx: &mut crate::registry::Check) {
                crate::metrics::args::Arguments::validate(self, cx);
            }
            fn build(self, _: &mut crate::registry::Build) -> crate::error::Result<Box<dyn crate::metrics::Metric>> {
                let definition = crate::metrics::args::Arguments::define(self);
                Ok(Box::new(crate::metrics::store::Accumulated::new(definition)))
            }
        }
    )+};
}
pub(super) use metrics;
