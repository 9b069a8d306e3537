SELECT analyze_instruments()
