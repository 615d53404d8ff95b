"""Public benchmarks of forecasting, and the names that their files go by."""

_M_SERIES = {
    f"{competition}_{frequency}": {
        f"{competition}_{frequency}",
        f"monash_{competition}_{frequency}",
    }
    for competition, frequencies in {
        "m1": ("monthly", "quarterly", "yearly"),
        "m3": ("monthly", "other", "quarterly", "yearly"),
        "m4": ("daily", "hourly", "monthly", "quarterly", "weekly", "yearly"),
        "tourism": ("monthly", "quarterly", "yearly"),
    }.items()
    for frequency in frequencies
}

# Names in lower case with underscores, by canonical name. Series at several frequencies count as
# one benchmark where they are the same measurements.
BENCHMARKS: dict[str, frozenset[str]] = {
    name: frozenset(aliases)
    for name, aliases in {
        "etth1": {"etth1", "ett_h1"},
        "etth2": {"etth2", "ett_h2"},
        "ettm1": {"ettm1", "ett_m1"},
        "ettm2": {"ettm2", "ett_m2"},
        "electricity": {
            "electricity",
            "ecl",
            "uci_electricity",
            "ld2011_2014",
            "electricityloaddiagrams20112014",
            "electricity_15min",
            "electricity_hourly",
            "electricity_weekly",
            "monash_electricity_hourly",
            "monash_electricity_weekly",
        },
        "traffic": {"traffic", "traffic_hourly", "traffic_weekly", "pems_sf", "monash_traffic"},
        "jena_weather": {"weather", "jena_weather", "jena_climate_2009_2016", "mpi_roof"},
        "monash_weather": {"monash_weather", "weather_monash", "australian_weather"},
        "exchange_rate": {"exchange_rate", "exchange"},
        "illness": {"illness", "national_illness", "ili", "cdc_fluview_ilinet"},
        "solar": {
            "solar",
            "solar_al",
            "solar_alabama",
            "solar_energy",
            "solar_10_minutes",
            "solar_1h",
        },
        # Half-hourly demand of five states; vic_elec (2012 to 2014) and elecdemand (2014) are
        # Victoria's part.
        "australian_electricity": {
            "australian_electricity",
            "australian_electricity_demand",
            "monash_australian_electricity",
            "vic_electricity",
            "vic_elec",
            "elecdemand",
        },
        "ercot": {"ercot", "ercot_load"},
        "pems03": {"pems03"},
        "pems04": {"pems04"},
        "pems07": {"pems07"},
        "pems08": {"pems08"},
        "pems_bay": {"pems_bay"},
        **_M_SERIES,
        "m5": {"m5", "m5_daily", "m5_sales"},
        "nn5": {"nn5", "nn5_daily", "nn5_weekly", "monash_nn5_weekly"},
        "cif_2016": {"cif_2016", "monash_cif_2016"},
        "fred_md": {"fred_md", "monash_fred_md"},
        "hospital": {"hospital", "monash_hospital"},
        "covid_deaths": {"covid_deaths", "monash_covid_deaths"},
        "car_parts": {"car_parts", "monash_car_parts"},
        "dominick": {"dominick"},
        "kdd_cup_2018": {"kdd_cup_2018", "monash_kdd_cup_2018"},
        "london_smart_meters": {"london_smart_meters", "monash_london_smart_meters"},
        "pedestrian_counts": {"pedestrian_counts", "monash_pedestrian_counts"},
        "rideshare": {"rideshare", "monash_rideshare"},
        "saugeen": {"saugeen", "saugeenday", "saugeen_river_flow", "monash_saugeenday"},
        "taxi": {"taxi_30min", "taxi_1h", "nyc_taxi"},
        "temperature_rain": {"temperature_rain", "monash_temperature_rain"},
        "uber_tlc": {"uber_tlc", "uber_tlc_hourly", "uber_tlc_daily"},
        "us_births": {"us_births", "monash_us_births"},
        "ushcn": {"ushcn", "ushcn_daily"},
        "weatherbench": {
            "weatherbench",
            "weatherbench_hourly",
            "weatherbench_daily",
            "weatherbench_weekly",
        },
        "wiki_daily": {"wiki_daily", "wiki_daily_100k"},
        "wind_farms": {"wind_farms", "wind_farms_hourly", "wind_farms_daily"},
        "brazilian_cities_temperature": {
            "brazilian_cities_temperature",
            "monash_brazilian_cities_temperature",
        },
        "mexico_city_bikes": {"mexico_city_bikes"},
        "spanish_energy_weather": {"spanish_energy_weather", "spanish_energy_and_weather"},
    }.items()
}

# Names that somebody's own data may well have: they count only where they are the whole name.
_COMMON = frozenset(
    {
        "australian_weather",
        "car_parts",
        "ecl",
        "electricity",
        "electricity_15min",
        "electricity_hourly",
        "electricity_weekly",
        "exchange",
        "exchange_rate",
        "hospital",
        "ili",
        "illness",
        "rideshare",
        "solar",
        "solar_1h",
        "solar_10_minutes",
        "solar_al",
        "solar_energy",
        "traffic",
        "traffic_hourly",
        "traffic_weekly",
        "weather",
        "wind_farms",
        "wind_farms_daily",
        "wind_farms_hourly",
    }
)
DISTINCTIVE = frozenset().union(*BENCHMARKS.values()) - _COMMON
