package edge

import "github.com/penstock-edge/penstock/edge/lib/values"

// AppendCookie appends what a key has of a cookie of the request. It appends nothing when it is missing.
func (x *Exchange) AppendCookie(dst, name []byte) []byte {
	return values.AppendCookie(dst, x.Cookie, name)
}

// AppendParam appends what a key has of a parameter of the query, decoded. It appends nothing when it is
// missing.
func (x *Exchange) AppendParam(dst, name []byte) []byte {
	return values.AppendParam(dst, x.Query, name)
}
