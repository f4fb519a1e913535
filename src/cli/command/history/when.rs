//! Times as people write them: `2d`, `yesterday`, `2026-11-20`, `2026-11-20 09:30`, RFC 3339.

use chrono::{DateTime, Days, Local, NaiveDate, NaiveDateTime, TimeDelta, TimeZone};

use crate::node::UnixMillis;

/// A time, or a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    /// A moment.
    Moment(UnixMillis),
    /// A day of the local calendar.
    Day(NaiveDate),
}

/// Words and spans count from this moment.
pub(super) fn read(text: &str, now: UnixMillis) -> Result<When, String> {
    let text = text.trim();
    let local = DateTime::from_timestamp_millis(now.0).unwrap_or_default().with_timezone(&Local);
    match text {
        "now" => return Ok(When::Moment(now)),
        "today" => return Ok(When::Day(local.date_naive())),
        "yesterday" => {
            return Ok(When::Day(local.date_naive() - Days::new(1)));
        }
        _ => {}
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(When::Day(day));
    }
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(When::Moment(UnixMillis(moment.timestamp_millis())));
    }
    for form in ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"] {
        if let Ok(moment) = NaiveDateTime::parse_from_str(text, form) {
            return Ok(When::Moment(local_moment(moment)));
        }
    }
    if let Ok(span) = humantime::parse_duration(text) {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        return Ok(When::Moment(UnixMillis(now.0.saturating_sub(millis))));
    }
    Err(format!("'{text}' is no time; write 2d, 3h, yesterday, 2026-11-20 or '2026-11-20 09:30'"))
}

impl When {
    /// Where it begins.
    pub(super) fn begin(self) -> UnixMillis {
        match self {
            Self::Moment(moment) => moment,
            Self::Day(day) => midnight(day),
        }
    }

    /// Where it ends: a day with its last moment.
    pub(super) fn end(self) -> UnixMillis {
        match self {
            Self::Moment(moment) => moment,
            Self::Day(day) => midnight(day.checked_add_days(Days::new(1)).unwrap_or(day)),
        }
    }
}

fn midnight(day: NaiveDate) -> UnixMillis {
    local_moment(day.into())
}

/// A local time; one that the clocks skip is an hour later.
fn local_moment(moment: NaiveDateTime) -> UnixMillis {
    let there = |moment: NaiveDateTime| Local.from_local_datetime(&moment).earliest();
    let skipped = || there(moment.checked_add_signed(TimeDelta::hours(1))?);
    let moment = there(moment).or_else(skipped).map(|moment| moment.timestamp_millis());
    UnixMillis(moment.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_138_201_250);

    fn begin(text: &str) -> i64 {
        read(text, NOW).expect(text).begin().0
    }

    #[test]
    fn spans_count_back_from_now() {
        assert_eq!(begin("now"), NOW.0);
        assert_eq!(begin("2d"), NOW.0 - 2 * 86_400_000);
        assert_eq!(begin("1h 30m"), NOW.0 - 90 * 60_000);
    }

    #[test]
    fn a_day_has_a_beginning_and_an_end() {
        let day = read("2026-11-20", NOW).expect("a day");
        assert_eq!(day.end().0 - day.begin().0, 86_400_000);
        assert_eq!(begin("2026-11-20"), begin("2026-11-20 00:00"));
        assert_eq!(begin("2026-11-20T09:30:05"), begin("2026-11-20 09:30") + 5_000);
        let today = read("today", NOW).expect("a day");
        assert!(today.begin() <= NOW && NOW < today.end());
        assert_eq!(read("yesterday", NOW).expect("a day").end(), today.begin());
    }

    #[test]
    fn an_offset_is_heeded() {
        assert_eq!(begin("2026-11-20T09:30:01.250+08:00"), 1_795_138_201_250);
    }

    #[test]
    fn what_is_no_time_says_what_is() {
        let error = read("lunch", NOW).expect_err("no time");
        assert!(error.contains("2026-11-20"), "{error}");
    }
}
