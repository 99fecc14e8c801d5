//! The one fact of our own certificates that rustls does not tell: until when they are valid (RFC 5280 section 4.1).

use crate::clock::UnixTime;

/// The end of a certificate's validity; `None` when the DER is not what RFC 5280 says.
pub(super) fn not_after(certificate: &[u8]) -> Option<UnixTime> {
    let (outer, _) = value(certificate, SEQUENCE)?;
    let (to_be_signed, _) = value(outer, SEQUENCE)?;
    // version [0] is there in every version 3 certificate; then serial, signature algorithm, issuer, validity.
    let rest = value(to_be_signed, VERSION).map_or(to_be_signed, |(_, rest)| rest);
    let (_, rest) = value(rest, INTEGER)?;
    let (_, rest) = value(rest, SEQUENCE)?;
    let (_, rest) = value(rest, SEQUENCE)?;
    let (validity, _) = value(rest, SEQUENCE)?;
    let (_, end) = any(validity)?;
    let (tag, end, _) = tlv(end)?;
    time(tag, end)
}

fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, value, rest) = tlv(der)?;
    (found == tag).then_some((value, rest))
}

fn any(der: &[u8]) -> Option<(&[u8], &[u8])> {
    tlv(der).map(|(_, value, rest)| (value, rest))
}

fn tlv(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, short], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = if short < 0x80 {
        (usize::from(short), rest)
    } else {
        let (digits, rest) =
            rest.split_at_checked(usize::from(short & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// UTCTime `YYMMDDHHMMSSZ` (years 1950 to 2049) or GeneralizedTime `YYYYMMDDHHMMSSZ` (RFC 5280 section 4.1.2.5).
fn time(tag: u8, text: &[u8]) -> Option<UnixTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = year.parse::<i32>().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let mut fields = [0u8; 5];
    let mut rest = rest;
    for field in &mut fields {
        let digits;
        (digits, rest) = rest.split_at_checked(2)?;
        *field = digits.parse().ok()?;
    }
    let [month, day, hour, minute, second] = fields;
    let date = time::Date::from_calendar_date(year, time::Month::try_from(month).ok()?, day).ok()?;
    let moment = date.with_hms(hour, minute, second).ok()?.assume_utc().unix_timestamp();
    Some(UnixTime::from_secs(u64::try_from(moment).unwrap_or(0)))
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 3, 4);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_validity_is_read_in_both_notations() {
        assert_eq!(not_after(&certificate(2031)), Some(UnixTime::from_secs(1_930_348_800)));
        assert_eq!(not_after(&certificate(2066)), Some(UnixTime::from_secs(3_034_886_400)));
    }

    #[test]
    fn cut_off_certificates_are_no_trouble() {
        let whole = certificate(2031);
        for end in 0..whole.len() {
            assert_eq!(not_after(&whole[..end]), None);
        }
    }
}
