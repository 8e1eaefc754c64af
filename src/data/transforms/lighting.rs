//! Brightness and contrast as fastai changes them: in the logits, so that values stay within 0…1.

use std::sync::Arc;

use super::{Op, Plan, Transform, TransformKind};
use crate::data::image::{Picture, Table};
use crate::data::rng::Rng;
use crate::error::{Error, Result};
use crate::prelude::*;

/// Changes brightness and contrast, each with a probability; after `ToTensor`, before `Normalize`.
///
/// As fastai's `Brightness` and `Contrast` in `aug_transforms`: with probability `p` brightness is drawn from
/// 0.5 (1 - max_lighting) to 0.5 (1 + max_lighting), with probability `p` contrast is exp of a number from
/// ln(1 - max_lighting) to its negative.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lighting {
    /// How far both go, below 1.
    #[serde(default = "quarter", alias = "max")]
    max_lighting: Fraction,
    /// The probability of each; 0 is off.
    #[serde(default = "often", alias = "p")]
    p_lighting: Fraction,
}

fn quarter() -> Fraction {
    Fraction(0.25)
}

fn often() -> Fraction {
    Fraction(0.75)
}

impl Component for Lighting {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["runner.transforms.Lighting"];
    fn check(&self, cx: &mut Check) {
        if self.max_lighting.0 >= 1.0 {
            cx.problem("max_lighting", "`max_lighting` is below 1: at 1 a picture may become black");
        }
    }
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(self))
    }
}

impl Transform for Lighting {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        let (most, p) = (self.max_lighting.0, self.p_lighting.0);
        let brightness = if rng.chance(p) { 0.5 * rng.uniform(1.0 - most, 1.0 + most) } else { 0.5 };
        let width = -(1.0 - most).ln();
        let contrast = if rng.chance(p) { rng.uniform(-width, width).exp() } else { 1.0 };
        if brightness != 0.5 || contrast != 1.0 {
            plan.push(Op::Lighting { brightness, contrast });
        }
        Ok(())
    }
}

fn logit(x: f64) -> f64 {
    (x / (1.0 - x)).ln()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The value that a value from 0 to 1 becomes.
fn lit(value: f32, brightness: f64, contrast: f64) -> f32 {
    let x = logit(f64::from(value).clamp(1e-7, 1.0 - 1e-7));
    sigmoid((x + logit(brightness)) * contrast) as f32
}

/// Changes a picture of floats.
///
/// # Errors
/// When it is bytes.
pub fn apply(picture: Picture, brightness: f64, contrast: f64) -> Result<Picture> {
    match picture {
        Picture::Lazy(image, tables) => {
            let lit = |table: &Table| table.map(|value| lit(value, brightness, contrast));
            // Channels that are cast alike share a table's work.
            let mut changed: Vec<Table> = Vec::with_capacity(tables.len());
            for (channel, table) in tables.iter().enumerate() {
                let same = tables[..channel].iter().position(|other| other == table);
                changed.push(same.map_or_else(|| lit(table), |place| changed[place]));
            }
            Ok(Picture::Lazy(image, Arc::new(changed)))
        }
        Picture::Floats(mut planes) => {
            planes.data.iter_mut().for_each(|value| *value = lit(*value, brightness, contrast));
            Ok(Picture::Floats(planes))
        }
        Picture::Bytes(_) | Picture::Many(_) => {
            Err(Error::failed("Lighting acts on floats, and this picture is bytes")
                .help("put it after ToTensor, ToDtype or ConvertImageDtype in the list of transforms"))
        }
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<Lighting>();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::rng::Purpose;
    use crate::data::transforms::Canvas;

    /// varKoder's reference values.
    #[test]
    fn values() {
        let cases = [
            (0.25, 0.55, 1.0, 0.289_473_7),
            (0.25, 0.5, 1.2, 0.211_095_5),
            (0.8, 0.45, 0.8, 0.720_813_2),
            (0.5, 0.6, 1.3, 0.628_807_6),
        ];
        for (x, brightness, contrast, expected) in cases {
            assert!((f64::from(lit(x, brightness, contrast)) - expected).abs() < 1e-6);
        }
        assert!((lit(0.0, 0.5, 1.0), lit(1.0, 0.5, 1.0)).0 < 1e-6);
    }

    #[test]
    fn draws_stay_within_their_ranges() {
        let lighting = Lighting { max_lighting: Fraction(0.25), p_lighting: Fraction(0.75) };
        let (mut changed, mut bright, mut contrasts) = (0, 0, 0);
        for i in 0..10_000 {
            let mut plan = Plan::new(Canvas { height: 2, width: 2, channels: 1 });
            lighting.plan(&mut Rng::new(Purpose::Transform, 1, &[i]), &mut plan).unwrap();
            for op in plan.ops {
                let Op::Lighting { brightness, contrast } = op else { panic!("another operation") };
                assert!((0.375..=0.625).contains(&brightness) && (0.75..=1.0 / 0.75).contains(&contrast));
                changed += 1;
                bright += u32::from(brightness != 0.5);
                contrasts += u32::from(contrast != 1.0);
            }
        }
        // 1 - 0.25^2 of the draws change something, 0.75 each of the two.
        assert!((9250..9500).contains(&changed) && (7350..7650).contains(&bright) && (7350..7650).contains(&contrasts));
        let off = Lighting { max_lighting: Fraction(0.25), p_lighting: Fraction(0.0) };
        let mut plan = Plan::new(Canvas { height: 2, width: 2, channels: 1 });
        off.plan(&mut Rng::new(Purpose::Transform, 1, &[]), &mut plan).unwrap();
        assert!(plan.ops.is_empty());
    }
}
