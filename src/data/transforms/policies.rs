//! AutoAugment's learned policies (Cubuk et al., 2018, tables 7 to 9 of the appendix).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The data set that a policy was learned on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// ImageNet.
    #[default]
    Imagenet,
    /// CIFAR-10.
    Cifar10,
    /// SVHN.
    Svhn,
}

/// Two operations, each with its probability and the bin of its magnitude (0 to 9), where it has one.
pub type SubPolicy = [(&'static str, f64, Option<usize>); 2];

/// The sub-policies of a policy.
pub fn policies(policy: Policy) -> Vec<SubPolicy> {
    let table: &[(&str, f64, i8, &str, f64, i8)] = match policy {
        Policy::Imagenet => &IMAGENET,
        Policy::Cifar10 => &CIFAR10,
        Policy::Svhn => &SVHN,
    };
    let bin = |bin: i8| usize::try_from(bin).ok();
    let pair = |&(a, p, i, b, q, j): &(&'static str, f64, i8, &'static str, f64, i8)| [(a, p, bin(i)), (b, q, bin(j))];
    table.iter().map(pair).collect()
}

/// An operation without a magnitude.
const NO: i8 = -1;

#[rustfmt::skip]
static IMAGENET: [(&str, f64, i8, &str, f64, i8); 25] = [
    ("Posterize", 0.4, 8, "Rotate", 0.6, 9),
    ("Solarize", 0.6, 5, "AutoContrast", 0.6, NO),
    ("Equalize", 0.8, NO, "Equalize", 0.6, NO),
    ("Posterize", 0.6, 7, "Posterize", 0.6, 6),
    ("Equalize", 0.4, NO, "Solarize", 0.2, 4),
    ("Equalize", 0.4, NO, "Rotate", 0.8, 8),
    ("Solarize", 0.6, 3, "Equalize", 0.6, NO),
    ("Posterize", 0.8, 5, "Equalize", 1.0, NO),
    ("Rotate", 0.2, 3, "Solarize", 0.6, 8),
    ("Equalize", 0.6, NO, "Posterize", 0.4, 6),
    ("Rotate", 0.8, 8, "Color", 0.4, 0),
    ("Rotate", 0.4, 9, "Equalize", 0.6, NO),
    ("Equalize", 0.0, NO, "Equalize", 0.8, NO),
    ("Invert", 0.6, NO, "Equalize", 1.0, NO),
    ("Color", 0.6, 4, "Contrast", 1.0, 8),
    ("Rotate", 0.8, 8, "Color", 1.0, 2),
    ("Color", 0.8, 8, "Solarize", 0.8, 7),
    ("Sharpness", 0.4, 7, "Invert", 0.6, NO),
    ("ShearX", 0.6, 5, "Equalize", 1.0, NO),
    ("Color", 0.4, 0, "Equalize", 0.6, NO),
    ("Equalize", 0.4, NO, "Solarize", 0.2, 4),
    ("Solarize", 0.6, 5, "AutoContrast", 0.6, NO),
    ("Invert", 0.6, NO, "Equalize", 1.0, NO),
    ("Color", 0.6, 4, "Contrast", 1.0, 8),
    ("Equalize", 0.8, NO, "Equalize", 0.6, NO),
];

#[rustfmt::skip]
static CIFAR10: [(&str, f64, i8, &str, f64, i8); 25] = [
    ("Invert", 0.1, NO, "Contrast", 0.2, 6),
    ("Rotate", 0.7, 2, "TranslateX", 0.3, 9),
    ("Sharpness", 0.8, 1, "Sharpness", 0.9, 3),
    ("ShearY", 0.5, 8, "TranslateY", 0.7, 9),
    ("AutoContrast", 0.5, NO, "Equalize", 0.9, NO),
    ("ShearY", 0.2, 7, "Posterize", 0.3, 7),
    ("Color", 0.4, 3, "Brightness", 0.6, 7),
    ("Sharpness", 0.3, 9, "Brightness", 0.7, 9),
    ("Equalize", 0.6, NO, "Equalize", 0.5, NO),
    ("Contrast", 0.6, 7, "Sharpness", 0.6, 5),
    ("Color", 0.7, 7, "TranslateX", 0.5, 8),
    ("Equalize", 0.3, NO, "AutoContrast", 0.4, NO),
    ("TranslateY", 0.4, 3, "Sharpness", 0.2, 6),
    ("Brightness", 0.9, 6, "Color", 0.2, 8),
    ("Solarize", 0.5, 2, "Invert", 0.0, NO),
    ("Equalize", 0.2, NO, "AutoContrast", 0.6, NO),
    ("Equalize", 0.2, NO, "Equalize", 0.6, NO),
    ("Color", 0.9, 9, "Equalize", 0.6, NO),
    ("AutoContrast", 0.8, NO, "Solarize", 0.2, 8),
    ("Brightness", 0.1, 3, "Color", 0.7, 0),
    ("Solarize", 0.4, 5, "AutoContrast", 0.9, NO),
    ("TranslateY", 0.9, 9, "TranslateY", 0.7, 9),
    ("AutoContrast", 0.9, NO, "Solarize", 0.8, 3),
    ("Equalize", 0.8, NO, "Invert", 0.1, NO),
    ("TranslateY", 0.7, 9, "AutoContrast", 0.9, NO),
];

#[rustfmt::skip]
static SVHN: [(&str, f64, i8, &str, f64, i8); 25] = [
    ("ShearX", 0.9, 4, "Invert", 0.2, NO),
    ("ShearY", 0.9, 8, "Invert", 0.7, NO),
    ("Equalize", 0.6, NO, "Solarize", 0.6, 6),
    ("Invert", 0.9, NO, "Equalize", 0.6, NO),
    ("Equalize", 0.6, NO, "Rotate", 0.9, 3),
    ("ShearX", 0.9, 4, "AutoContrast", 0.8, NO),
    ("ShearY", 0.9, 8, "Invert", 0.4, NO),
    ("ShearY", 0.9, 5, "Solarize", 0.2, 6),
    ("Invert", 0.9, NO, "AutoContrast", 0.8, NO),
    ("Equalize", 0.6, NO, "Rotate", 0.9, 3),
    ("ShearX", 0.9, 4, "Solarize", 0.3, 3),
    ("ShearY", 0.8, 8, "Invert", 0.7, NO),
    ("Equalize", 0.9, NO, "TranslateY", 0.6, 6),
    ("Invert", 0.9, NO, "Equalize", 0.6, NO),
    ("Contrast", 0.3, 3, "Rotate", 0.8, 4),
    ("Invert", 0.8, NO, "TranslateY", 0.0, 2),
    ("ShearY", 0.7, 6, "Solarize", 0.4, 8),
    ("Invert", 0.6, NO, "Rotate", 0.8, 4),
    ("ShearY", 0.3, 7, "TranslateX", 0.9, 3),
    ("ShearX", 0.1, 6, "Invert", 0.6, NO),
    ("Solarize", 0.7, 2, "TranslateY", 0.6, 7),
    ("ShearY", 0.8, 4, "Invert", 0.8, NO),
    ("ShearX", 0.7, 9, "TranslateY", 0.8, 3),
    ("ShearY", 0.8, 5, "AutoContrast", 0.7, NO),
    ("ShearX", 0.7, 2, "Invert", 0.1, NO),
];
