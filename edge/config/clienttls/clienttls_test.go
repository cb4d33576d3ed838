package clienttls

import "testing"

func TestFingerprintTellsTLSApart(t *testing.T) {
	plain := (&Settings{}).Fingerprint()
	a := (&Settings{Enabled: true, ServerName: "a"}).Fingerprint()
	b := (&Settings{Enabled: true, ServerName: "b"}).Fingerprint()
	if plain == a || a == b || a != (&Settings{Enabled: true, ServerName: "a"}).Fingerprint() {
		t.Fatalf("fingerprints %q %q %q", plain, a, b)
	}
}
