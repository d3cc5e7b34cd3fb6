//! Times on the command line: all are in seconds, and none is written with a unit.

use std::time::Duration;

/// Units that people write, and how many seconds each is.
const UNITS: [(&str, f64); 6] =
    [("ms", 0.001), ("sec", 1.0), ("s", 1.0), ("min", 60.0), ("m", 60.0), ("h", 3_600.0)];

/// Reads seconds, and parts of one: `10` or `0.5`.
///
/// # Errors
/// Where it is no such number, in words that say which number is meant.
pub(crate) fn parts(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| advice(text, "such as 10 or 0.5"))?;
    Duration::try_from_secs_f64(seconds).map_err(|_| advice(text, "such as 10 or 0.5"))
}

/// Reads whole seconds, within these bounds.
pub(crate) fn whole<T: Copy + Into<u64> + TryFrom<u64>>(
    least: T,
    most: T,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    let range = least.into()..=most.into();
    move |text| {
        let such_as =
            || advice(text, &format!("a whole one in {} to {}", range.start(), range.end()));
        let seconds: u64 = text.parse().map_err(|_| such_as())?;
        let within = Some(seconds).filter(|seconds| range.contains(seconds));
        within.and_then(|seconds| T::try_from(seconds).ok()).ok_or_else(such_as)
    }
}

fn advice(text: &str, such_as: &str) -> String {
    let with_unit = UNITS.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        Some(format!("it is in seconds, without a unit: {text} is {}", number * seconds))
    });
    with_unit.unwrap_or_else(|| format!("it is a number of seconds, {such_as}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_seconds_and_parts_of_them() {
        assert_eq!(parts("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parts("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["-1", "x", "", "inf", "NaN", "1e300"] {
            assert_eq!(parts(bad).unwrap_err(), "it is a number of seconds, such as 10 or 0.5");
        }
    }

    #[test]
    fn whoever_writes_a_unit_is_told_the_number_that_is_meant() {
        for (text, meant) in [("5s", "5"), ("500ms", "0.5"), ("2m", "120"), ("1.5 h", "5400")] {
            let said = format!("it is in seconds, without a unit: {text} is {meant}");
            assert_eq!(parts(text).unwrap_err(), said);
            assert_eq!(whole(1_u32, 9)(text).unwrap_err(), said);
        }
    }

    #[test]
    fn whole_seconds_are_within_their_bounds() {
        let read = whole(1_u16, 600);
        assert_eq!((read("1"), read("600")), (Ok(1), Ok(600)));
        for bad in ["0", "601", "-1", "0.5", "70000"] {
            assert_eq!(
                read(bad).unwrap_err(),
                "it is a number of seconds, a whole one in 1 to 600"
            );
        }
    }
}
