package cache

// f tells that it is pending.
func f() {}
