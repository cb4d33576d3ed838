package conform

// partial are the rows of RFC 9110 on parts, conditions and fields, as far as a cache answers itself.
var partial = []Check{}
