//! The one fact about our own certificates that rustls does not give: until when they are valid.

use x509_parser::parse_x509_certificate;

use crate::clock::UnixTime;

/// The end of a certificate's validity ([RFC 5280 section 4.1.2.5](https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5)); `None` when
/// the DER is no certificate.
pub(super) fn not_after(certificate: &[u8]) -> Option<UnixTime> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let end = certificate.validity().not_after.timestamp();
    Some(UnixTime::from_secs(u64::try_from(end).unwrap_or(0)))
}

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
