//! The arguments that every task of a network has, written once.

/// An argument struct of a task: its own fields after those that all share, and `learning`, which takes these apart.
macro_rules! task_args {
    (
        $(#[$doc:meta])*
        $name:ident reads $reads:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// The network: `[batch, …]` in, `[batch, outputs]` out.
            net: Slot<$crate::nn::Net>,
            /// The optimizer; it is given the network's parameters.
            optimizer: Slot<$crate::optim::OptimizerKind>,
            /// The learning-rate schedule: a scheduler, or a mapping of `scheduler`, `interval`, `frequency`,
            /// `monitor`.
            #[serde(default)]
            scheduler: Option<$crate::optim::SchedulerConfig>,
            /// Parameters with options of their own: rates, decay, momentum.
            #[serde(default)]
            param_groups: Vec<$crate::optim::ParamRule>,
            /// The rate of everything but the head, as a multiple of the optimizer's.
            #[serde(default)]
            backbone_lr_scale: Option<NonNegative>,
            /// Parameters without weight decay: patterns as in `param_groups`; `1d` is what timm leaves out.
            #[serde(default)]
            no_weight_decay: Option<OneOrMany<String>>,
            /// Parameters that are not learned: patterns as in `param_groups`.
            #[serde(default)]
            frozen: Option<OneOrMany<String>>,
            /// Metrics by the name under which they are logged. How many classes there are is the data's to say.
            #[serde(default)]
            metrics: Option<IndexMap<String, $crate::tasks::metric::MetricSlot<$crate::tasks::metric::$reads>>>,
            /// Under which names values are logged.
            #[serde(default)]
            log_names: $crate::tasks::names::LogNames,
            /// Views of each image whose predictions are averaged when testing and predicting.
            #[serde(default)]
            test_time_augmentation: Option<$crate::tasks::views::TestTimeAugmentation>,
            /// For PyTorch's compiler.
            #[serde(default)]
            #[allow(dead_code, reason = "accepted for compatibility")]
            compile: Ignored,
            $($(#[$field_doc])* $field: $type,)*
        }

        impl $name {
            /// The arguments of the network and its optimizer.
            fn learning(&mut self) -> $crate::tasks::core::Learning {
                let list = |patterns: &mut Option<OneOrMany<String>>| {
                    patterns.take().map_or_else(Vec::new, |patterns| patterns.as_slice().to_vec())
                };
                $crate::tasks::core::Learning {
                    net: self.net.clone(),
                    optimizer: self.optimizer.clone(),
                    scheduler: self.scheduler.take(),
                    param_groups: std::mem::take(&mut self.param_groups),
                    backbone_lr_scale: self.backbone_lr_scale,
                    no_weight_decay: list(&mut self.no_weight_decay),
                    frozen: list(&mut self.frozen),
                }
            }
        }
    };
}
pub(super) use task_args;
