package config

import "testing"

func TestFingerprintTellsTLSApart(t *testing.T) {
	plain := (&ClientTLS{}).Fingerprint()
	a := (&ClientTLS{Enabled: true, ServerName: "a"}).Fingerprint()
	b := (&ClientTLS{Enabled: true, ServerName: "b"}).Fingerprint()
	if plain == a || a == b || a != (&ClientTLS{Enabled: true, ServerName: "a"}).Fingerprint() {
		t.Fatalf("fingerprints %q %q %q", plain, a, b)
	}
}
