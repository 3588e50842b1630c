//! What the operator can set of consolidation.
//!
//! **Invariant:** what cannot be is refused at the start, in words that name the flag.

use clap::Args;

use crate::domain::consolidate::Thresholds;
use crate::domain::{Invalid, Schedule};

/// Flags of consolidation.
#[derive(Debug, Clone, Args)]
pub struct ConsolidationArgs {
    /// When old memory is made cheaper to load: a time of the day in UTC such as 02:00, an interval such as 6h, or off
    #[arg(
        long,
        env = "AGENT_MEMORY_CONSOLIDATION",
        value_name = "WHEN",
        default_value = "02:00"
    )]
    pub consolidation: String,
    /// Days after which a handoff is shown as a summary
    #[arg(
        long,
        env = "AGENT_MEMORY_SUMMARY_DAYS",
        value_name = "DAYS",
        default_value_t = 30,
        allow_negative_numbers = true
    )]
    pub summary_days: i64,
    /// Days after which it is shown as one dated line
    #[arg(
        long,
        env = "AGENT_MEMORY_QUICK_REF_DAYS",
        value_name = "DAYS",
        default_value_t = 90,
        allow_negative_numbers = true
    )]
    pub quick_ref_days: i64,
    /// Days after which the reflection on its month speaks for it
    #[arg(
        long,
        env = "AGENT_MEMORY_INTEGRATED_DAYS",
        value_name = "DAYS",
        default_value_t = 180,
        allow_negative_numbers = true
    )]
    pub integrated_days: i64,
    /// Days after which a decision that no search found leaves the wake-up
    #[arg(
        long,
        env = "AGENT_MEMORY_ARCHIVE_DAYS",
        value_name = "DAYS",
        default_value_t = 60,
        allow_negative_numbers = true
    )]
    pub archive_days: i64,
    /// Identity statements from which on principles are drawn
    #[arg(
        long,
        env = "AGENT_MEMORY_IDENTITY_STATEMENTS",
        value_name = "N",
        default_value_t = 10,
        allow_negative_numbers = true
    )]
    pub identity_statements: i64,
}

/// When old memory is consolidated, and from when on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Consolidation {
    /// When.
    pub schedule: Schedule,
    /// From when on what.
    pub thresholds: Thresholds,
}

impl Consolidation {
    /// Validates and joins the flags.
    ///
    /// # Errors
    /// In words for the operator: which flag cannot be, and why.
    pub fn new(args: &ConsolidationArgs) -> Result<Self, Invalid> {
        // What is negative or beyond is as wrong as zero and as too much.
        let number = |value: i64| u32::try_from(value.max(0)).unwrap_or(u32::MAX);
        for (flag, value) in [
            ("summary_days", args.summary_days),
            ("quick_ref_days", args.quick_ref_days),
            ("integrated_days", args.integrated_days),
            ("archive_days", args.archive_days),
            ("statements", args.identity_statements),
        ] {
            if value < 0 {
                return Err(named(Invalid::new(
                    flag,
                    format!("is {value}, which is negative"),
                )));
            }
        }
        let thresholds = Thresholds {
            summary_days: number(args.summary_days),
            quick_ref_days: number(args.quick_ref_days),
            integrated_days: number(args.integrated_days),
            archive_days: number(args.archive_days),
            statements: number(args.identity_statements),
        };
        Ok(Self {
            schedule: Schedule::parse("--consolidation", &args.consolidation)?,
            thresholds: thresholds.checked().map_err(named)?,
        })
    }
}

/// The refusal with the name of the flag.
fn named(invalid: Invalid) -> Invalid {
    let flag = match invalid.field.as_str() {
        "statements" => "identity-statements".to_owned(),
        field => field.replace('_', "-"),
    };
    Invalid::new(format!("--{flag}"), invalid.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> ConsolidationArgs {
        ConsolidationArgs {
            consolidation: "02:00".to_owned(),
            summary_days: 30,
            quick_ref_days: 90,
            integrated_days: 180,
            archive_days: 60,
            identity_statements: 10,
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let set = Consolidation::new(&args()).unwrap();
        assert_eq!(set.thresholds, Thresholds::default());
        assert_eq!(set.schedule.to_string(), "02:00");
    }

    #[test]
    fn refuses_what_cannot_be_and_names_the_flag() {
        let refused = |change: fn(&mut ConsolidationArgs)| {
            let mut args = args();
            change(&mut args);
            Consolidation::new(&args).unwrap_err().to_string()
        };
        let cases = [
            (
                refused(|args| args.summary_days = -1),
                "--summary-days: is -1",
            ),
            (
                refused(|args| args.quick_ref_days = 30),
                "--quick-ref-days: is 30",
            ),
            (
                refused(|args| args.integrated_days = 89),
                "--integrated-days: is 89",
            ),
            (
                refused(|args| args.archive_days = 0),
                "--archive-days: is 0",
            ),
            (
                refused(|args| args.identity_statements = -5),
                "--identity-statements: is -5",
            ),
            (
                refused(|args| args.consolidation = "nightly".to_owned()),
                "--consolidation: is not",
            ),
        ];
        for (error, begins) in cases {
            assert!(error.starts_with(begins), "{error}");
        }
    }
}
