package conform

// staleness are the rows of RFC 5861.
var staleness = []Check{}
