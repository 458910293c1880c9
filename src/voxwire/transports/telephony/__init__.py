"""Phone calls over the media streams of Twilio, Telnyx, Plivo, Vonage and Exotel."""
