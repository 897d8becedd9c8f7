//! What the timestamp authority of the world signs.

use super::*;

impl World {
    /// A response of the timestamp authority (RFC 3161).
    pub fn timestamp(&self, message: &[u8], at: i64) -> Vec<u8> {
        const SHA256: &str = "2.16.840.1.101.3.4.2.1";
        let time = Time::from_unix(at).to_string().replace(['-', ':', 'T'], "");
        let certificate = self.tsa.make();
        let parsed = Certificate::parse(&certificate).unwrap();
        let tbs = &parsed.inner.tbs_certificate;
        let hash = |bytes: &[u8]| Sha256::digest(bytes).to_vec();
        let sha256 = || seq(0x30, &[oid(SHA256)]);
        let info = seq(
            0x30,
            &[
                vec![2, 1, 1],
                oid("1.2.3"),
                seq(0x30, &[sha256(), seq(4, &[hash(message)])]),
                vec![2, 1, 9],
                seq(0x18, &[time.into_bytes()]),
            ],
        );
        let attribute = |name: &str, value: Vec<u8>| seq(0x30, &[oid(name), seq(0x31, &[value])]);
        let by = seq(0x30, &[seq(0x30, &[seq(0x30, &[seq(4, &[hash(&certificate)])])])]);
        let attributes = [
            attribute("1.2.840.113549.1.9.3", oid("1.2.840.113549.1.9.16.1.4")),
            attribute("1.2.840.113549.1.9.4", seq(4, &[hash(&info)])),
            attribute("1.2.840.113549.1.9.16.2.47", by),
        ];
        let signature = sign(TSA, &seq(0x31, &attributes));
        let signer = seq(
            0x30,
            &[
                vec![2, 1, 1],
                seq(0x30, &[tbs.issuer.to_der().unwrap(), tbs.serial_number.to_der().unwrap()]),
                sha256(),
                seq(0xa0, &attributes),
                seq(0x30, &[oid("1.2.840.10045.4.3.2")]),
                seq(4, &[signature]),
            ],
        );
        let data = seq(
            0x30,
            &[
                vec![2, 1, 3],
                seq(0x31, &[sha256()]),
                seq(0x30, &[oid("1.2.840.113549.1.9.16.1.4"), seq(0xa0, &[seq(4, &[info])])]),
                seq(0xa0, &[certificate]),
                seq(0x31, &[signer]),
            ],
        );
        let token = seq(0x30, &[oid("1.2.840.113549.1.7.2"), seq(0xa0, &[data])]);
        seq(0x30, &[seq(0x30, &[vec![2, 1, 0]]), token])
    }
}

fn oid(text: &str) -> Vec<u8> {
    ObjectIdentifier::new_unwrap(text).to_der().unwrap()
}

fn seq(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    let mut der = vec![tag];
    match content.len() {
        short @ 0..=0x7f => der.push(u8::try_from(short).unwrap()),
        short @ 0x80..=0xff => der.extend([0x81, u8::try_from(short).unwrap()]),
        long => {
            der.push(0x82);
            der.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    der.extend(content);
    der
}
