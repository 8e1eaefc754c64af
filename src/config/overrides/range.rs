//! `range(start, stop, step)`: evenly spaced numbers, counted without making them.

use crate::config::text::py_float;

/// An integer or a float: a range of integers stays one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// A floating point number.
    Float(f64),
}

impl Number {
    /// The number as a float.
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(i) => i as f64,
            Number::Float(v) => v,
        }
    }

    /// As Python writes it.
    pub fn spell(self) -> String {
        match self {
            Number::Int(i) => i.to_string(),
            Number::Float(v) => py_float(v),
        }
    }
}

/// The numbers `start + i * step` before `stop`, which is excluded.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// The first number.
    pub start: Number,
    /// The bound, excluded.
    pub stop: Number,
    /// The distance, not 0; negative to count down.
    pub step: Number,
    /// Whether the numbers come last to first.
    pub reversed: bool,
}

impl Range {
    /// A range in its own order.
    ///
    /// # Errors
    /// A step of 0, or a number that is not finite.
    pub fn new(start: Number, stop: Number, step: Number) -> Result<Self, String> {
        if [start, stop, step].iter().any(|number| !number.as_f64().is_finite()) {
            return Err("a range needs finite numbers".to_owned());
        }
        if step.as_f64() == 0.0 {
            return Err("the step of a range cannot be 0".to_owned());
        }
        Ok(Range { start, stop, step, reversed: false })
    }

    /// The range in ascending order, or in descending order.
    pub fn sorted(mut self, descending: bool) -> Self {
        self.reversed = (self.step.as_f64() < 0.0) != descending;
        self
    }

    /// The numbers of the range.
    pub fn steps(&self) -> Steps {
        let progress = match (self.start, self.stop, self.step) {
            (Number::Int(start), Number::Int(stop), Number::Int(step)) => {
                Progress::Whole { start: start.into(), stop: stop.into(), step: step.into() }
            }
            _ => Progress::decimal(self.start, self.stop, self.step).unwrap_or(Progress::Binary {
                start: self.start.as_f64(),
                stop: self.stop.as_f64(),
                step: self.step.as_f64(),
            }),
        };
        let len = progress.len();
        Steps { progress, len, reversed: self.reversed }
    }
}

/// The numbers of a range, made one by one.
#[derive(Clone, Debug)]
pub struct Steps {
    progress: Progress,
    len: u64,
    reversed: bool,
}

impl Steps {
    /// How many there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Number `i`, from 0.
    pub fn get(&self, i: u64) -> Number {
        self.progress.get(if self.reversed { self.len - 1 - i } else { i })
    }
}

#[derive(Clone, Debug)]
enum Progress {
    /// Integers.
    Whole { start: i128, stop: i128, step: i128 },
    /// Floats, reckoned in the decimals in which they were written, all times 10^-`exponent`: `range(0, 1, 0.1)`
    /// meets 0.3, not 0.30000000000000004. So does Hydra 1.4; Hydra 1.3 added up the binary values.
    Decimal { start: i128, stop: i128, step: i128, exponent: i32 },
    /// Floats so far apart that no common power of ten fits.
    Binary { start: f64, stop: f64, step: f64 },
}

impl Progress {
    fn decimal(start: Number, stop: Number, step: Number) -> Option<Self> {
        let parts = [decimal_parts(start)?, decimal_parts(stop)?, decimal_parts(step)?];
        let exponent = parts.iter().filter(|(digits, _)| *digits != 0).map(|(_, e)| *e).min()?;
        let scaled = |(digits, e): (i128, i32)| match digits {
            0 => Some(0),
            _ => digits.checked_mul(10i128.checked_pow(u32::try_from(e - exponent).ok()?)?),
        };
        let [start, stop, step] = [scaled(parts[0])?, scaled(parts[1])?, scaled(parts[2])?];
        // Room for the last number and one step more.
        let bound = i128::MAX / 4;
        let fits = [start, stop, step].iter().all(|v| v.abs() < bound);
        fits.then_some(Progress::Decimal { start, stop, step, exponent })
    }

    fn len(&self) -> u64 {
        match *self {
            Progress::Whole { start, stop, step } | Progress::Decimal { start, stop, step, .. } => {
                let (distance, step) = if step > 0 { (stop - start, step) } else { (start - stop, -step) };
                if distance <= 0 { 0 } else { u64::try_from((distance - 1) / step + 1).unwrap_or(u64::MAX) }
            }
            // A float too large for u64 becomes its maximum, which no sweep reaches.
            Progress::Binary { start, stop, step } => ((stop - start) / step).ceil().max(0.0) as u64,
        }
    }

    fn get(&self, i: u64) -> Number {
        match *self {
            // Between start and stop, which are i64.
            Progress::Whole { start, step, .. } => Number::Int((start + step * i128::from(i)) as i64),
            Progress::Decimal { start, step, exponent, .. } => {
                let text = format!("{}e{exponent}", start + step * i128::from(i));
                // Digits, `e` and an exponent are always a number.
                Number::Float(text.parse().unwrap_or(f64::NAN))
            }
            Progress::Binary { start, step, .. } => Number::Float(start + i as f64 * step),
        }
    }
}

/// The digits of a number as Python writes it, and the power of ten that they are to be multiplied by.
fn decimal_parts(number: Number) -> Option<(i128, i32)> {
    let text = number.spell();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}").parse().ok()?;
    Some((digits, exponent.parse::<i32>().ok()? - fraction.len() as i32))
}

#[cfg(test)]
mod tests {
    use super::Number::{Float, Int};
    use super::*;

    fn numbers(start: Number, stop: Number, step: Number) -> Vec<String> {
        let steps = Range::new(start, stop, step).unwrap().steps();
        (0..steps.len()).map(|i| steps.get(i).spell()).collect()
    }

    #[test]
    fn the_end_is_excluded_and_one_float_makes_all_floats() {
        let cases: &[(Number, Number, Number, &[&str])] = &[
            (Int(1), Int(4), Int(1), &["1", "2", "3"]),
            (Int(0), Int(10), Int(3), &["0", "3", "6", "9"]),
            (Int(5), Int(0), Int(-2), &["5", "3", "1"]),
            (Int(5), Int(0), Int(1), &[]),
            (Int(0), Int(1), Float(0.25), &["0.0", "0.25", "0.5", "0.75"]),
            (Float(1.0), Int(3), Int(1), &["1.0", "2.0"]),
            (Int(2), Int(1), Float(-0.5), &["2.0", "1.5"]),
            (Int(0), Float(0.3), Float(0.1), &["0.0", "0.1", "0.2"]),
            (Int(0), Int(1), Float(0.3), &["0.0", "0.3", "0.6", "0.9"]),
            (Int(0), Float(0.9), Float(0.3), &["0.0", "0.3", "0.6"]),
            (Float(1e-5), Float(3e-5), Float(1e-5), &["1e-05", "2e-05"]),
            (Float(0.0), Float(1e300), Float(5e299), &["0.0", "5e+299"]),
            (Float(1e-300), Float(1e300), Float(5e299), &["1e-300", "5e+299", "1e+300"]),
            (Int(i64::MIN), Int(i64::MAX), Int(i64::MAX), &["-9223372036854775808", "-1", "9223372036854775806"]),
        ];
        for (start, stop, step, expected) in cases {
            let found = numbers(*start, *stop, *step);
            let expected: Vec<String> = expected.iter().map(|s| s.to_string()).collect();
            if *start == Float(1e-300) {
                // In binary the sum of two halves may or may not reach the end.
                assert_eq!(found[..2], expected[..2]);
            } else {
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn sorting_keeps_the_numbers() {
        let range = Range::new(Int(5), Int(0), Int(-2)).unwrap();
        let spelt = |range: &Range| {
            let steps = range.steps();
            (0..steps.len()).map(|i| steps.get(i).spell()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(spelt(&range.clone().sorted(false)), "1 3 5");
        assert_eq!(spelt(&range.sorted(true)), "5 3 1");
        assert_eq!(spelt(&Range::new(Int(1), Int(4), Int(1)).unwrap().sorted(true)), "3 2 1");
    }

    #[test]
    fn huge_ranges_are_counted_not_made() {
        assert_eq!(Range::new(Int(0), Int(i64::MAX), Int(1)).unwrap().steps().len(), i64::MAX as u64);
        assert_eq!(Range::new(Int(0), Float(1e308), Float(1e-308)).unwrap().steps().len(), u64::MAX);
        assert!(Range::new(Int(0), Int(1), Float(0.0)).is_err());
        assert!(Range::new(Int(0), Float(f64::INFINITY), Int(1)).is_err());
    }
}
