package edge

// f tells that a test is checked too.
func f() {}
