package accept

import "testing"

// TestForms: which slots are good for whom.
func TestForms(t *testing.T) {
	for offer := Set(0); offer <= All; offer++ {
		for accepts := Set(0); accepts <= All; accepts++ {
			covered := accepts&^offer == 0
			if s := FormOf(0, false, offer).SlotFor(accepts); (s == plainSlot) != covered || (s == noSlot) == covered {
				t.Errorf("plain, offered %d, for %d: %c", offer, accepts, s)
			}
			for _, coding := range []Set{Gzip, Brotli, Zstd} {
				f, want := FormOf(coding, false, offer), byte(noSlot)
				switch {
				case coding&offer == 0 && offer == accepts:
					want = offer.OwnSlot()
				case coding&offer&accepts != 0:
					want = coding.slot()
				}
				if s := f.SlotFor(accepts); s != want || want != noSlot && f.Slot() != want {
					t.Errorf("%d, offered %d, for %d: %c, want %c", coding, offer, accepts, s, want)
				}
			}
			if s := FormOf(0, true, offer).SlotFor(accepts); (s == offer.OwnSlot()) != (offer == accepts) {
				t.Errorf("foreign, offered %d, for %d: %c", offer, accepts, s)
			}
		}
	}
}

func TestCodingsIn(t *testing.T) {
	f := func(offer string, lists ...string) {
		t.Helper()
		for _, list := range lists {
			if got := Offers[codingsIn([]byte(list))]; got != offer {
				t.Errorf("%q: %q, want %q", list, got, offer)
			}
		}
	}
	f("identity", "", "deflate", "gzip;q=0", "gzip;q=0.0, br;q=0.000", "*;q=0", "gzip;q=x", "gzip;level=1", "gzip, gzip;q=0")
	f("gzip", "gzip", "X-GZIP", "gzip;q=0.001, deflate", "*, br;q=0, zstd;q=0", " gzip ; q=1.0 ,")
	f("br, gzip", "gzip, br", "br;q=0.1,GZIP;q=1", "*;q=0.1, zstd;q=0")
	f("zstd, br, gzip", "*", "zstd, br, gzip", "gzip;q=0.5, *")
}
