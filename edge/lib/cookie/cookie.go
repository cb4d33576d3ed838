// Package cookie knows the names that applications give their cookies.
package cookie

import "strings"

// likely are names of sessions and tokens, in lower case, as frameworks make them.
var likely = map[string]bool{
	"session": true, "session_id": true, "sessionid": true, "_session_id": true, "sid": true, "sess": true,
	"jsessionid": true, "phpsessid": true, "asp.net_sessionid": true, ".aspxauth": true, "aspsessionid": true,
	".aspnetcore.session": true, ".aspnetcore.cookies": true, "connect.sid": true, "laravel_session": true,
	"ci_session": true, "cfid": true, "cftoken": true, "rack.session": true, "beaker.session.id": true,
	"symfony": true, "play_session": true, "csrftoken": true, "csrf_token": true, "_csrf": true,
	"xsrf-token": true,
	"token":      true, "access_token": true, "refresh_token": true, "id_token": true, "jwt": true, "auth": true,
	"authorization": true, "auth_token": true, "user": true, "user_id": true, "userid": true, "uid": true,
	"login": true, "remember_me": true, "remember_token": true, "remember_user_token": true, "cart": true,
	"lang": true, "locale": true,
}

// IsLikely reports whether an application may well have a cookie of the name.
func IsLikely(name string) bool {
	name = strings.ToLower(name)
	name = strings.TrimPrefix(strings.TrimPrefix(name, "__host-"), "__secure-")
	return likely[name] || strings.HasPrefix(name, "wordpress_") || strings.HasPrefix(name, "aspsessionid") ||
		strings.HasPrefix(name, ".aspnetcore.")
}
