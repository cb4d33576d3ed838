package conform

// revalidating are the rows of RFC 9111 section 4.3, 4.4.
var revalidating = []Check{}
