//! `torchvision.models`: the same arguments, numbers and state-dict names, so that published weights load as they
//! are.

pub mod blocks;
mod convnext;
mod densenet;
mod efficientnet;
mod inception;
mod mobilenet;
mod regnet;
pub mod resnet;
mod swin;
mod vgg;
mod vit;

use crate::registry::Registry;

/// A model component with torchvision's `weights` and `progress`, and the fields and builder given.
macro_rules! vision {
    (
        $(#[$doc:meta])* $name:ident, [$($target:literal),+ $(,)?],
        { $($(#[$meta:meta])* $field:ident: $ty:ty,)* },
        $make:expr
    ) => {
        $(#[$doc])*
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            /// Where the weights come from: a local file (`.safetensors`, `.pth`), a published name
            /// (`IMAGENET1K_V1`, `DEFAULT`), or null to draw them.
            #[serde(default)]
            weights: Option<String>,
            /// Downloads report themselves.
            #[serde(default)]
            #[allow(dead_code)]
            progress: $crate::registry::Ignored,
            $($(#[$meta])* $field: $ty,)*
        }

        $crate::nn::net!($name, [$($target),+], |args, path| {
            let make: fn(&$name, &$crate::nn::Path) -> $crate::error::Result<_> = $make;
            let model = make(args, path)?;
            $crate::nn::weights::load_published(path, args.weights.as_deref(), <$name as $crate::registry::Component>::TARGETS[0])?;
            Ok(model)
        });
    };
}
pub(crate) use vision;

use super::super::args::Count;
use crate::registry::Fraction;

/// ImageNet's classes: torchvision's default.
fn imagenet() -> Count {
    Count(1000)
}

fn zero() -> Fraction {
    Fraction(0.0)
}

fn half() -> Fraction {
    Fraction(0.5)
}

fn fifth() -> Fraction {
    Fraction(0.2)
}

/// Adds every model.
pub fn register(registry: &mut Registry) {
    resnet::register(registry);
    efficientnet::register(registry);
    mobilenet::register(registry);
    vgg::register(registry);
    densenet::register(registry);
    convnext::register(registry);
    vit::register(registry);
    swin::register(registry);
    regnet::register(registry);
    inception::register(registry);
}
