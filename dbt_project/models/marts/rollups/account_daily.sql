{{ rollup() }}
