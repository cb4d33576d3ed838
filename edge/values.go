package edge

import "github.com/penstock-edge/penstock/edge/lib/values"

// Field returns the value of a field of the request: of several lines the first that is not empty; nil when
// there is none. Name is in canonical form. The value lives until the next look into Req.
func (x *Exchange) Field(name []byte) []byte {
	v := x.Req.PeekCanonical(name)
	if len(v) > 0 || !x.EmptyLines {
		return v
	}
	return values.First(&x.Req, name)
}

// HasField reports whether any line of a field of the request has a value.
func (x *Exchange) HasField(name []byte) bool { return len(x.Field(name)) > 0 }

// OnlyField returns the value of a field of the request that may stand once; nil when it is missing, or when
// its lines differ.
func (x *Exchange) OnlyField(name []byte) []byte {
	if len(x.Field(name)) == 0 {
		return nil
	}
	return values.Only(&x.Req, name)
}

// AppendField appends what a key has of a field of the request: every different value, see package values. It
// appends nothing when the field is missing.
func (x *Exchange) AppendField(dst, name []byte) []byte { return values.AppendAll(dst, &x.Req, name) }

// AppendList appends a field of the request whose value is a list, its lines joined.
func (x *Exchange) AppendList(dst, name []byte) []byte { return values.AppendList(dst, &x.Req, name) }

// AppendCookie appends what a key has of a cookie of the request. It appends nothing when it is missing.
func (x *Exchange) AppendCookie(dst, name []byte) []byte {
	return values.AppendCookie(dst, x.Cookie, name)
}

// AppendParam appends what a key has of a parameter of the query, decoded. It appends nothing when it is
// missing.
func (x *Exchange) AppendParam(dst, name []byte) []byte {
	return values.AppendParam(dst, x.Query, name)
}
